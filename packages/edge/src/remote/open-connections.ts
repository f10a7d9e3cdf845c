/**
 * Connections of clients at edges, by what those have noted: the ends of those whose edge has died are written down here. An
 * edge that has only lost its connection to the server comes back with its clients, and notes their ends itself.
 */
import type { SshDirectory, SshNote } from "@mags/domain";

export interface OpenConnections extends Disposable {
  /** One more connection to the server of that run of an edge. @returns  It is gone; called once. */
  arrived(edge: string): () => void;
  noted(edge: string, note: SshNote): void;
}

interface Edge {
  links: number;
  readonly open: Map<string, SshNote>;
  late: NodeJS.Timeout | undefined;
}

/** Of one edge; further ones have no end here. */
const MOST_OPEN = 20_000;

/** @param options.graceMs  How long an edge may take to come back. What is waited for when it is disposed of is written down at once. */
export function createOpenConnections(
  directory: Pick<SshDirectory, "note">,
  { graceMs }: { readonly graceMs: number },
): OpenConnections {
  const edges = new Map<string, Edge>();
  let isOver = false;

  function give(name: string, edge: Edge): void {
    clearTimeout(edge.late);
    edges.delete(name);
    for (const { login, clientAddress, user, data } of edge.open.values()) {
      const { connection = null, edge: at = null } = data;
      directory.note({
        ...{ what: "ended", login, clientAddress, user },
        data: { connection, reason: "gateway_lost", edge: at },
      });
    }
  }

  return {
    arrived(name) {
      const edge = edges.get(name) ?? { links: 0, open: new Map(), late: undefined };
      edges.set(name, edge);
      edge.links++;
      clearTimeout(edge.late);
      return () => {
        if (--edge.links > 0 || isOver) return;
        if (edge.open.size === 0) edges.delete(name);
        else edge.late = setTimeout(() => give(name, edge), graceMs).unref();
      };
    },
    noted(name, note) {
      const { connection } = note.data;
      const open = edges.get(name)?.open;
      if (!open || typeof connection !== "string") return;
      if (note.what === "ended") open.delete(connection);
      else if (note.what === "signed_in" && open.size < MOST_OPEN) open.set(connection, note);
    },
    /** Of edges that are there the clients stay, whatever becomes of their connections to this server. */
    [Symbol.dispose]() {
      isOver = true;
      for (const [name, edge] of [...edges]) if (edge.links === 0) give(name, edge);
    },
  };
}

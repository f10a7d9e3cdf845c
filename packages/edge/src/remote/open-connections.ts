/**
 * Connections of clients at edges, by what those have noted: the ends of those whose edge has died are written down here. An
 * edge that has only lost its connection to the server comes back with its clients, and notes their ends itself.
 */
import type { SshDirectory, SshNote, SshUser } from "@mags/domain";

export interface OpenConnections extends Disposable {
  /** One more connection to the server of that run of an edge. @returns  It is gone; called once. */
  arrived(edge: string): () => void;
  noted(edge: string, note: SshNote): void;
}

interface Edge {
  links: number;
  readonly open: Map<string, OpenConnection>;
  late: NodeJS.Timeout | undefined;
}

type OpenConnection = Pick<SshNote, "login" | "clientAddress" | "user" | "data">;

/** Of all edges; further ones have no end here. */
const MOST_OPEN = 20_000;
/** Of each text that is kept. */
const MOST_CHARACTERS = 128;

/** @param options.graceMs  How long an edge may take to come back. What is waited for when it is disposed of is written down at once. */
export function createOpenConnections(
  directory: Pick<SshDirectory, "note">,
  { graceMs }: { readonly graceMs: number },
): OpenConnections {
  const edges = new Map<string, Edge>();
  let count = 0;
  let isOver = false;

  function give(name: string, edge: Edge): void {
    clearTimeout(edge.late);
    edges.delete(name);
    count -= edge.open.size;
    for (const { data, ...whose } of edge.open.values())
      directory.note({ what: "ended", ...whose, data: { ...data, reason: "gateway_lost" } });
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
      if (!open || typeof connection !== "string" || connection.length > MOST_CHARACTERS) return;
      if (note.what === "ended" && open.delete(connection)) count--;
      if (note.what !== "signed_in" || open.has(connection) || count >= MOST_OPEN) return;
      open.set(connection, shortened(note));
      count++;
    },
    /** Of edges that are there the clients stay, whatever becomes of their connections to this server. */
    [Symbol.dispose]() {
      isOver = true;
      for (const [name, edge] of [...edges]) if (edge.links === 0) give(name, edge);
    },
  };
}

/** What the end needs, in a bounded amount of memory. */
function shortened({ login, clientAddress, user, data: { connection = null, edge = null } }: SshNote): OpenConnection {
  return {
    login: cut(login),
    clientAddress: cut(clientAddress),
    user: user && whoIs(user),
    data: { connection, edge },
  };
}

const whoIs = ({ accountId, keyName, fingerprint, target, jobId }: SshUser): SshUser => ({
  ...{ accountId, jobId, keyName: cut(keyName), fingerprint: cut(fingerprint), target: cut(target), refusal: null },
});

const cut = (text: string): string =>
  // Through bytes: a slice alone keeps all of the text it was cut from.
  text.length <= MOST_CHARACTERS ? text : Buffer.from(`${text.slice(0, MOST_CHARACTERS - 1)}…`).toString();

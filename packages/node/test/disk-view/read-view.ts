/** Reads a view of a disk, as its one client. */
import { connectNbd, type NbdClient } from "@mags/nbd";
import type { DiskView } from "../../src/qemu/disk-view/disk-view.ts";
import { type ChangedExtent, changedExtents, contextsOf } from "./changed-extents.ts";

export interface ReadView extends DiskView {
  readonly client: NbdClient;
  changes(options: { readonly signal: AbortSignal }): AsyncGenerator<ChangedExtent, void, void>;
}

const DEADLINE_MS = 60_000;

/** @param since  What the view was opened with. */
export async function readView(view: DiskView, since: string | null): Promise<ReadView> {
  const { socket, exportName } = view.source;
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const client = await connectNbd(socket, { exportName, contexts: contextsOf(since), signal });
  return {
    source: view.source,
    client,
    changes: ({ signal }) => changedExtents(client, { since, signal }),
    async finish(options) {
      await client[Symbol.asyncDispose]();
      await view.finish(options);
    },
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]();
      await view[Symbol.asyncDispose]();
    },
  };
}

import { rm } from "node:fs/promises";
import type { DiskSource } from "@mags/block-server";
import { EXPORT, readBlockGraph } from "./block-graph.ts";
import type { DiskViewDeps } from "./disk-view.ts";
import { exportNode } from "./export-node.ts";
import { stopServing } from "./stop-serving.ts";

/** Where one client sees the disk as it is, with how deep below it the data lies, and can have it copied onto the disk. */
export interface ShownDisk extends AsyncDisposable {
  readonly source: Pick<DiskSource, "socket" | "exportName">;
}

/**
 * The disk must be settled. Nothing else changes its block nodes meanwhile; what a server that dies leaves of this is taken
 * away by `settleDisk`. What is copied is no change of the disk: neither its bitmaps nor the count of its writes know it.
 */
export async function showDisk({ qmp, runtime, place }: DiskViewDeps): Promise<ShownDisk> {
  const end = async () => {
    await stopServing(qmp);
    await rm(place.socket, { force: true });
  };
  try {
    const { disk } = await readBlockGraph(qmp);
    await exportNode({ qmp, runtime }, place.socket, { "node-name": disk, "allocation-depth": true });
  } catch (error) {
    await end().catch(() => {}); // `settleDisk` comes before whatever is next
    throw error;
  }
  return { source: { socket: place.socket, exportName: EXPORT }, [Symbol.asyncDispose]: end };
}

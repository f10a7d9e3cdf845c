import type { Qmp } from "../qmp.ts";
import { baseOf, fileOf, readBlockGraph } from "./block-graph.ts";

/**
 * Has the disk stand on nothing: what is not on it is zeros from now on. The guest does not notice, and nobody needs to answer
 * for the base any more. The disk must be settled. May be repeated; at once when it stands on nothing.
 */
export async function detachBase(qmp: Qmp): Promise<void> {
  const { disk, nodes } = await readBlockGraph(qmp);
  if (!nodes.has(baseOf(disk))) return;
  const options = { driver: "qcow2", "node-name": disk, discard: "unmap", file: fileOf(disk), backing: null };
  await qmp.execute("blockdev-reopen", { options: [options] });
  // One that came with its disk has gone with it.
  if ((await readBlockGraph(qmp)).nodes.has(baseOf(disk)))
    await qmp.execute("blockdev-del", { "node-name": baseOf(disk) });
}

/** Puts a disk back to what it is while nobody is shown it: one bitmap that records, or none, and nothing else. */
import { pointSlotAt } from "../machine.ts";
import type { Qmp } from "../qmp.ts";
import { type BitmapPlan, planBitmaps } from "./bitmap-plan.ts";
import { type BlockGraph, bitmapName, NODE, readBlockGraph } from "./block-graph.ts";
import { removeViewFiles, type ViewPlace } from "./place.ts";
import { stopServing } from "./stop-serving.ts";

export interface Settled {
  /** Whether all changes since what was asked for are known. */
  readonly tracked: boolean;
}

/**
 * Looks at what is there, whoever left it and at which step it was cut off, and removes the view; nobody is shown the disk. May be repeated.
 * @param since  What changes are to be known since: the name a view was opened with, or tracking began. A bitmap of that name
 *   gets what others may know beside it; bitmaps that do not help are removed. Null: none is kept.
 * @throws AppError `internal` when QEMU refuses, `microvm_lost` when it is gone.
 */
export async function settleDisk(
  qmp: Qmp,
  place: ViewPlace,
  { since }: { readonly since: string | null },
): Promise<Settled> {
  const graph = await readBlockGraph(qmp);
  await removeView(qmp, graph);
  await removeViewFiles(place);
  const plan = planBitmaps(graph.bitmaps, since === null ? null : bitmapName(since));
  await carryOut(qmp, graph.disk, plan);
  return { tracked: plan.kept !== null };
}

async function removeView(qmp: Qmp, { disk, nodes }: BlockGraph): Promise<void> {
  await stopServing(qmp);
  const remove = async (name: string) => {
    if (nodes.has(name)) await qmp.execute("blockdev-del", { "node-name": name });
  };
  await remove(NODE.view);
  if (nodes.has(NODE.filter)) await pointSlotAt(qmp, disk);
  await remove(NODE.filter);
  await remove(NODE.scratch);
}

async function carryOut(qmp: Qmp, node: string, plan: BitmapPlan): Promise<void> {
  const { kept, merge } = plan;
  const actions = [
    ...(kept !== null && plan.enable ? [{ type: "block-dirty-bitmap-enable", data: { node, name: kept } }] : []),
    ...(kept !== null && merge.length > 0
      ? [{ type: "block-dirty-bitmap-merge", data: { node, target: kept, bitmaps: merge } }]
      : []),
    ...plan.remove.map((name) => ({ type: "block-dirty-bitmap-remove", data: { node, name } })),
  ];
  if (actions.length > 0) await qmp.execute("transaction", { actions });
}

import { z } from "zod";
import type { Qmp } from "../qmp.ts";
import { bitmapName } from "./block-graph.ts";

const NodesReply = z.array(
  z.object({
    image: z.object({ "actual-size": z.number().optional() }),
    "dirty-bitmaps": z.array(z.object({ name: z.string().optional(), count: z.number() })).optional(),
  }),
);

/**
 * How much of a disk has changed since what the name stands for, in whole blocks, and at most what there is of it: places that
 * were discarded count as changed, and hold nothing. Null when that is not known.
 */
export async function changedBytes(qmp: Qmp, since: string): Promise<number | null> {
  const nodes = await qmp.query("query-named-block-nodes", NodesReply, { flat: true });
  for (const { image, "dirty-bitmaps": bitmaps = [] } of nodes) {
    const bitmap = bitmaps.find(({ name }) => name === bitmapName(since));
    if (bitmap) return Math.min(bitmap.count, image["actual-size"] ?? bitmap.count);
  }
  return null;
}

import { z } from "zod";
import type { Qmp } from "../qmp.ts";
import { bitmapName } from "./block-graph.ts";

const NodesReply = z.array(
  z.object({ "dirty-bitmaps": z.array(z.object({ name: z.string().optional(), count: z.number() })).optional() }),
);

/** How much of a disk has changed since what the name stands for, in whole blocks; null when that is not known. */
export async function changedBytes(qmp: Qmp, since: string): Promise<number | null> {
  const nodes = await qmp.query("query-named-block-nodes", NodesReply, { flat: true });
  const bitmaps = nodes.flatMap((node) => node["dirty-bitmaps"] ?? []);
  return bitmaps.find(({ name }) => name === bitmapName(since))?.count ?? null;
}

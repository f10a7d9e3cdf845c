import { join } from "node:path";
import { bootId, isAlive } from "@mags/core";
import { readRecords } from "../microvm/record.ts";
import type { NodeFootprint } from "./trace.ts";

/** What a node without a server has, by its records: microVMs of jobs go on, everything else waits for the next start. */
export async function footprintAtRest(dataDirectory: string): Promise<NodeFootprint> {
  const boot = await bootId();
  const { found } = await readRecords(join(dataDirectory, "vms")).catch(() => ({ found: [] }));
  const microVms = await Promise.all(
    found.map(async ({ record, binding }) => {
      const { id, index, process } = record;
      const lives = process !== null && record.bootId === boot && (await isAlive(process));
      return { id, index, pid: process?.pid ?? null, jobId: lives ? (binding?.jobId ?? null) : null };
    }),
  );
  return { microVms, preparedIndexes: [], work: [], execs: [], outcomes: [], sandboxes: [] };
}

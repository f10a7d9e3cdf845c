/**
 * The marks that a node's things on the host carry, as the configuration says: names and numbers by which they are found
 * again. They are written down, so that what was made under an earlier configuration is found, too.
 */
import { readFile } from "node:fs/promises";
import { AppError } from "@mags/core";
import { z } from "zod";
import type { NodeConfig } from "../config.ts";
import { parseCidr } from "../network/addresses.ts";
import { networkCapacity } from "../network/network-manager.ts";
import { writeFileDurably } from "./files.ts";

const Marks = z.object({ prefix: z.string(), uplink_range: z.string().refine(isRange), uid_base: z.int() });
export type Marks = Readonly<z.infer<typeof Marks>>;

/** @returns Nothing when none were written down. @throws AppError `unavailable` when they cannot be read. */
export async function readMarks(path: string): Promise<Marks | undefined> {
  const text = await readFile(path, "utf8").catch(() => "");
  if (text === "") return undefined;
  try {
    return Marks.parse(JSON.parse(text));
  } catch (cause) {
    throw new AppError(
      "unavailable",
      `${path} does not say under which names and numbers VMs were made before: put it back, or remove it if none were`,
      { cause },
    );
  }
}

function isRange(text: string): boolean {
  try {
    return networkCapacity(parseCidr(text)) > 0;
  } catch {
    return false;
  }
}

export function marksOf({ network, uid_base }: NodeConfig): Marks {
  return { prefix: network.prefix, uplink_range: network.uplink_range, uid_base };
}

export function withMarks(config: NodeConfig, { prefix, uplink_range, uid_base }: Marks): NodeConfig {
  return { ...config, uid_base, network: { ...config.network, prefix, uplink_range } };
}

/**
 * Makes `marks` the ones in use. `clear` removes all that carries the earlier ones.
 * @throws AppError `unavailable` when they differ and microVMs of jobs, which cannot change theirs, go on.
 */
export async function changeMarks(
  path: string,
  marks: Marks,
  steps: { readonly goingOn: () => Promise<number>; readonly clear: (earlier: Marks) => Promise<void> },
): Promise<void> {
  const earlier = await readMarks(path);
  const changed = earlier && (Object.keys(marks) as (keyof Marks)[]).filter((key) => earlier[key] !== marks[key]);
  if (earlier && changed?.length === 0) return;
  if (earlier && changed) {
    const vms = await steps.goingOn();
    if (vms > 0) {
      const words = changed.map((key) => `${key} was ${earlier[key]} and is ${marks[key]} now`).join(", ");
      throw new AppError(
        "unavailable",
        `${words}, but VMs of ${vms} jobs go on with the earlier setting: put it back, then magsd start, and change it after magsd stop --all`,
      );
    }
    await steps.clear(earlier);
  }
  await writeFileDurably(path, `${JSON.stringify(marks)}\n`);
}

import { type Logger, messageOf } from "@mags/core";
import { connectGuest } from "../microvm/guest.ts";
import type { MicroVmHost } from "../microvm/microvm-host.ts";
import type { MicroVmRecord } from "../microvm/record.ts";
import { holdsDisk, type ParkedClone } from "./clone.ts";

/**
 * Takes over a clone that an earlier process parked. One of another template, half-made, dead or silent is removed: a
 * clone costs less than a doubt.
 */
export async function adoptParked(
  deps: { readonly host: MicroVmHost; readonly log: Logger },
  record: MicroVmRecord,
  options: { readonly templateKey: string },
): Promise<ParkedClone | undefined> {
  const { host, log } = deps;
  const { parked } = record;
  if (!parked || record.templateKey !== options.templateKey) {
    await host.discard(record);
    return undefined;
  }
  try {
    const microVm = await host.adopt(record);
    if ((await microVm.machine.status()) !== "paused") throw new Error("it does not wait");
    if (!parked.mounted && holdsDisk(microVm)) throw new Error("a job was about to take it");
    await microVm.machine.resume();
    const agent = await connectGuest(microVm, { log });
    await microVm.machine.pause();
    return { microVm, agent, ...parked };
  } catch (error) {
    log.info("pool.clone_not_adopted", { microVmId: record.id, error: messageOf(error) });
    await host.discard(record);
    return undefined;
  }
}

import { AppError } from "@mags/core";
import { z } from "zod";
import type { Qmp } from "./qmp.ts";

const SLOT_DEVICE = "/machine/peripheral/vdb/virtio-backend";
const StatsReply = z.array(
  z.object({
    qdev: z.string().optional(),
    stats: z.object({ wr_operations: z.number() }),
  }),
);

/** How often the guest has written to the disk in its slot, or tried to, since QEMU began. It does not count discards. */
export async function diskWrites(qmp: Qmp): Promise<number> {
  const devices = await qmp.query("query-blockstats", StatsReply);
  const slot = devices.find(({ qdev }) => qdev === SLOT_DEVICE);
  if (!slot) throw new AppError("internal", "QEMU does not count what is written to the disk in the slot");
  return slot.stats.wr_operations;
}

/**
 * Why a write of a guest waits. QEMU says the same of a host's disk without room, and of a part of a block that the guest
 * leaves as it is and that cannot be read from the object store now.
 */
import { isDiskFull } from "@mags/core";

export interface Shortage {
  readonly name: "host_disk_full" | "store_away";
  readonly data: { readonly message: string };
}

export const HOST_DISK_FULL: Shortage = {
  name: "host_disk_full",
  data: { message: "the host's disk is full: the VM waits until there is room for what it writes" },
};
const STORE_AWAY: Shortage = {
  name: "store_away",
  data: {
    message:
      "the object store cannot be read: the VM waits until it can, as what it writes changes a part of a block only",
  },
};

/** @param directory  Where the disk lies, which stands on a version of a workspace. */
export async function shortageOf(directory: string): Promise<Shortage> {
  return (await isDiskFull(directory)) ? HOST_DISK_FULL : STORE_AWAY;
}

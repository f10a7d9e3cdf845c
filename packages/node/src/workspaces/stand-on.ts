/**
 * Disks that stand on a version of a workspace: what is not on them yet is read from the block server, through a socket in
 * the jail of their microVM.
 */
import { join } from "node:path";
import { AppError } from "@mags/core";
import type { SandboxId, VersionRef } from "@mags/domain";
import type { DiskSpec, OverlayStore } from "../disks/overlay-store.ts";
import type { Image } from "../images/image.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import { JAIL } from "../qemu/command-line.ts";
import { trackChanges } from "../qemu/disk-view/disk-view.ts";
import type { Blocks } from "./blocks.ts";

/** Name of the block server's socket in a jail. */
const SOCKET = "blocks.sock";
/** Where QEMU finds it. */
export const BLOCKS_SOCKET = `${JAIL.vm}/${SOCKET}`;
/** What a disk that stands on a version calls that one in its bitmap. */
export const FIRST_MARK = "base";
const SERVE_MS = 30_000;
const GIB = 1024 ** 3;

export interface StandOnDeps {
  readonly blocks: Blocks;
  readonly overlays: OverlayStore;
}

export interface Standing {
  readonly id: SandboxId;
  readonly from: VersionRef;
  readonly image: Pick<Image, "name" | "digest">;
}

/**
 * Has the version served in that jail. May be repeated, also for another jail: the earlier one is not served any more.
 * @returns the size of its disk in bytes.
 * @throws AppError `unavailable` when it cannot be read now, `validation_failed` when it belongs to another image.
 */
export async function serveIn(
  { blocks }: Pick<StandOnDeps, "blocks">,
  where: { readonly jail: string; readonly uid: number },
  { id, from, image }: Standing,
): Promise<number> {
  const { accountId, workspaceId, version } = from;
  const served = await blocks.call(
    "serve",
    {
      id,
      version: { account: accountId, workspace: workspaceId, version },
      socket: join(where.jail, SOCKET),
      uid: where.uid,
    },
    { signal: AbortSignal.timeout(SERVE_MS) },
  );
  if (served.image.digest !== image.digest)
    throw new AppError(
      "validation_failed",
      `the workspace was made in an image ${served.image.name} (${served.image.digest.slice(0, 12)}) that this node does not have: it cannot be used with ${image.name} (${image.digest.slice(0, 12)})`,
    );
  return served.diskBytes;
}

/**
 * Puts a disk that stands on a version into the paused guest's slot.
 * @returns its size and that of the version's, which its file system still has.
 */
export async function insertDiskOn(
  deps: StandOnDeps,
  microVm: MicroVm,
  {
    standing,
    disk,
    neverRan,
  }: {
    readonly standing: Standing;
    readonly disk: { readonly name: string } & Pick<DiskSpec, "diskGiB">;
    readonly neverRan: boolean;
  },
): Promise<{ readonly sizeBytes: number; readonly grows: boolean }> {
  const { paths, uid, machine } = microVm;
  const baseBytes = await serveIn(deps, { jail: paths.jail, uid }, standing);
  const diskGiB = Math.max(disk.diskGiB, Math.ceil(baseBytes / GIB));
  const sizeBytes = await deps.overlays.createBlank(join(paths.jail, disk.name), { diskGiB, uid });
  await machine.insertDisk({ path: `${JAIL.vm}/${disk.name}`, sizeBytes, neverRan, backing: BLOCKS_SOCKET });
  await trackChanges(machine.qmp, FIRST_MARK);
  return { sizeBytes, grows: sizeBytes > baseBytes };
}

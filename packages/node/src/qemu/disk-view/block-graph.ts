/**
 * The block nodes of a microVM's disk, and those that a view of it adds:
 *
 *     slot → disk          slot → view-filter → disk
 *                                 view-filter → view-scratch     what the guest overwrites since the moment of the view
 *                          view → view-filter                    what the disk held then
 *
 * Under the disk is its file; a disk that stands on a version has that as its base, through the block server.
 */
import { AppError } from "@mags/core";
import { z } from "zod";
import type { Qmp } from "../qmp.ts";

export const NODE = { slot: "slot", filter: "view-filter", scratch: "view-scratch", view: "view" } as const;
/** Name of whatever is exported, and of the descriptor that QEMU listens on for it. */
export const EXPORT = "view";

/** Node names of what is under a disk of that node name. */
export const fileOf = (disk: string): string => `${disk}-file`;
export const baseOf = (disk: string): string => `${disk}-base`;

/** A bitmap of changes to a disk. */
export interface ChangeBitmap {
  readonly name: string;
  /** Changes are being noted. */
  readonly recording: boolean;
  /** Its QEMU ended without writing it: what it says is worth nothing. */
  readonly inconsistent: boolean;
}

export interface BlockGraph {
  /** Node name of the disk in the slot. */
  readonly disk: string;
  /** As large as it is for the guest, also when a growth was cut off before its file system has followed. */
  readonly sizeBytes: number;
  /** Those of ours that the disk has. */
  readonly bitmaps: readonly ChangeBitmap[];
  /** Names of all nodes. */
  readonly nodes: ReadonlySet<string>;
}

/** Bytes that a bitmap notes a change of together. Chunks of a workspace have this size, too. */
export const GRANULARITY = 64 * 1024;

/** In front of what callers name their bitmaps by. */
const BITMAP_PREFIX = "since-";
export const bitmapName = (since: string): string => `${BITMAP_PREFIX}${since}`;

/** What is read of QEMU's answer; the rest of it is left alone. */
const NodesReply = z.array(
  z.object({
    "node-name": z.string(),
    drv: z.string(),
    image: z.object({ "virtual-size": z.int().nonnegative() }),
    "dirty-bitmaps": z
      .array(z.object({ name: z.string().optional(), recording: z.boolean(), inconsistent: z.boolean().optional() }))
      .optional(),
  }),
);
/** As `insertDisk` names them. */
const DISK_NAME = /^disk\d+$/;

/** @throws AppError `internal` when there is no disk in the slot. */
export async function readBlockGraph(qmp: Qmp): Promise<BlockGraph> {
  const nodes = await qmp.query("query-named-block-nodes", NodesReply, { flat: true });
  const disks = nodes.filter((node) => node.drv === "qcow2" && DISK_NAME.test(node["node-name"]));
  const [disk] = disks;
  if (!disk || disks.length > 1) throw new AppError("internal", `the microVM has ${disks.length} disks in its slot`);
  const bitmaps = (disk["dirty-bitmaps"] ?? []).flatMap(({ name, recording, inconsistent = false }) =>
    name?.startsWith(BITMAP_PREFIX) ? [{ name, recording, inconsistent }] : [],
  );
  const sizeBytes = disk.image["virtual-size"];
  return { disk: disk["node-name"], sizeBytes, bitmaps, nodes: new Set(nodes.map((node) => node["node-name"])) };
}

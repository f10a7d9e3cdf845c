/**
 * A view of the disk of a microVM that runs on: what it held at one moment, and what had changed until then. QEMU keeps what
 * the guest overwrites meanwhile in a scratch file, and shows disk and scratch as one export over NBD. A server that dies
 * leaves all that behind; `settleDisk` takes it away, whenever it comes.
 */
import type { DiskSource } from "@mags/block-server";
import { AppError, messageOf } from "@mags/core";
import type { RuntimeRoot } from "@mags/runtime-root";
import { pointSlotAt } from "../machine.ts";
import type { Qmp } from "../qmp.ts";
import { type BlockGraph, bitmapName, EXPORT, GRANULARITY, NODE, readBlockGraph } from "./block-graph.ts";
import { exportNode } from "./export-node.ts";
import { makeScratch, type ViewPlace } from "./place.ts";
import { settleDisk } from "./settle.ts";

export interface DiskView extends AsyncDisposable {
  /**
   * Where what the disk held can be read, by one client, until the view ends, with the bitmap of what had changed. When QEMU
   * answers with errors, there was no room for what was overwritten, and the view is lost.
   */
  readonly source: DiskSource;
  /**
   * Ends the view. `published`: what it held is kept elsewhere, and changes are known since its moment, by the name of
   * `next`. Else they are known since `since` as if there had been no view; dispose does the same.
   */
  finish(options: { readonly published: boolean }): Promise<void>;
}

export interface DiskViewDeps {
  readonly qmp: Qmp;
  readonly runtime: RuntimeRoot;
  readonly place: ViewPlace;
}

export interface DiskViewOptions {
  /** Size of the disk. */
  readonly sizeBytes: number;
  /** Changes since what are asked for: those of a bitmap that `settleDisk` has found whole. Null: everything. */
  readonly since: string | null;
  /** What the moment of the view is to be called: changes after it are noted under this name. */
  readonly next: string;
  /**
   * Called once, with what takes the view: about 2 ms, and as long as it takes to write out what the guest has not flushed.
   * It may hold the guest's file system still meanwhile. Default: the view holds what a power cut would have left.
   */
  readonly atMoment?: (take: () => Promise<void>) => Promise<void>;
}

/** Begins to note changes, under this name. What was before is not known. */
export async function trackChanges(qmp: Qmp, since: string): Promise<void> {
  await addBitmap(qmp, await readBlockGraph(qmp), since);
}

const addBitmap = (qmp: Qmp, { disk }: BlockGraph, since: string) =>
  qmp.execute("block-dirty-bitmap-add", {
    node: disk,
    name: bitmapName(since),
    granularity: GRANULARITY,
    // Written into the disk's file when QEMU ends by itself, and there again when it is opened.
    persistent: true,
  });

/**
 * The disk must be settled, and have run. One at a time for a microVM, and nothing else that changes its block nodes meanwhile.
 * @throws AppError; then it has been settled as far as QEMU allowed, and changes since `since` are known as before.
 */
export async function openDiskView(deps: DiskViewDeps, options: DiskViewOptions): Promise<DiskView> {
  const { qmp, place } = deps;
  const { since, next, sizeBytes, atMoment = (take) => take() } = options;
  const settle = (known: string | null) => settleDisk(qmp, place, { since: known });
  try {
    const graph = await readBlockGraph(qmp);
    await makeScratch(place, sizeBytes);
    await addFilter(qmp, graph, place);
    await atMoment(() => takeView(qmp, graph, { since, next }));
    await qmp.execute("blockdev-add", { driver: "snapshot-access", "node-name": NODE.view, file: NODE.filter });
    await exportNode(deps, place.socket, {
      "node-name": NODE.view,
      ...(since !== null && { bitmaps: [{ node: graph.disk, name: bitmapName(since) }] }),
    });
    let ended: Promise<unknown> | undefined;
    const end = async (known: string | null) => {
      ended ??= settle(known);
      await ended;
    };
    return {
      source: { socket: place.socket, exportName: EXPORT, bitmap: since === null ? null : bitmapName(since) },
      finish: ({ published }) => end(published ? next : since),
      [Symbol.asyncDispose]: () => end(since),
    };
  } catch (cause) {
    await settle(since).catch((error: unknown) => {
      const also = `a view of the disk could not be opened, nor taken away again: ${messageOf(error)}`;
      throw new AppError("internal", also, { cause });
    });
    throw cause;
  }
}

async function addFilter(qmp: Qmp, { disk }: BlockGraph, { scratch }: ViewPlace): Promise<void> {
  await qmp.execute("blockdev-add", {
    driver: "raw",
    "node-name": NODE.scratch,
    file: { driver: "file", filename: scratch.jail, aio: "threads" },
  });
  await qmp.execute("blockdev-add", {
    driver: "copy-before-write",
    "node-name": NODE.filter,
    file: disk,
    target: NODE.scratch,
    // When there is no room for what is overwritten, the view is lost and the guest goes on.
    "on-cbw-error": "break-snapshot",
  });
}

/**
 * The moment is when the filter comes in. The next bitmap records before that and the last one until after it, so a write
 * that comes in between is in both: each has what it needs, and at most that much more.
 */
async function takeView(
  qmp: Qmp,
  graph: BlockGraph,
  { since, next }: { readonly since: string | null; readonly next: string },
): Promise<void> {
  await addBitmap(qmp, graph, next);
  const stop = (name: string) => qmp.execute("block-dirty-bitmap-disable", { node: graph.disk, name });
  // Sent in this order, and carried out in it.
  await Promise.all([pointSlotAt(qmp, NODE.filter), ...(since === null ? [] : [stop(bitmapName(since))])]);
}

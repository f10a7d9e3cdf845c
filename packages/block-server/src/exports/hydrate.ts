/**
 * Brings what a version holds onto a disk that stands on it, so that the disk can do without it. QEMU copies: it is told
 * which ranges, after they have been fetched, so what the guest does meanwhile never waits for the store.
 */
import { AppError } from "@mags/core";
import { connectNbd, DEPTH_CONTEXT, type NbdClient } from "@mags/nbd";
import {
  CHUNK_BYTES,
  type RecordRef,
  type RecordSource,
  SEGMENT_CHUNKS,
  type VersionReader,
} from "@mags/workspace-store";
import type { DiskSource } from "../calls.ts";
import { isDamage } from "./damages.ts";
import type { Pace } from "./pace.ts";
import type { Place } from "./version-export.ts";

type Signal = { readonly signal: AbortSignal };

export interface HydrateDeps {
  readonly version: VersionReader;
  readonly records: RecordSource;
  /** Told of chunks that cannot be copied because they are damaged. */
  readonly onDamage: (place: Place, error: unknown) => void;
  readonly pace: Pace;
}

export interface HydrateOptions extends Signal {
  readonly source: Pick<DiskSource, "socket" | "exportName">;
  readonly bytesPerSecond: number;
}

/** Copied with one command: writes of the guest to the same place wait for so much. */
const RUN_CHUNKS = 8;
/** Data that lies on the disk itself, as the context says. */
const OWN = 1;

/**
 * All of the version is on the disk, and on stable storage, when it resolves; nothing is on it twice. May be given up and
 * repeated: what is there already is only looked at.
 * @returns bytes that were copied.
 * @throws AppError `unavailable` when store or QEMU are away; NbdError when QEMU cannot read or write; `chunk_corrupt` or
 * `store_corrupt` when part of it is damaged, with all the rest on the disk.
 */
export async function hydrate(deps: HydrateDeps, options: HydrateOptions): Promise<number> {
  const { source, signal } = options;
  const { exportName } = source;
  await using client = await connectNbd(source.socket, { exportName, contexts: [DEPTH_CONTEXT], signal });
  if (client.sizeBytes < deps.version.manifest.diskBytes)
    throw new AppError("internal", `QEMU shows a disk of ${client.sizeBytes} bytes, smaller than its version's`);
  let copied = 0;
  for (;;) {
    const look = await copyMissing(client, deps, options);
    copied += look.copied;
    if (look.copied > 0) continue; // the last look finds nothing more to copy
    await client.flush({ signal });
    await client.disconnect();
    if (look.damage) throw look.damage.error;
    return copied;
  }
}

interface Look {
  readonly copied: number;
  /** What was met first, and left out. */
  readonly damage: { readonly error: unknown } | undefined;
}

async function copyMissing(client: NbdClient, deps: HydrateDeps, options: HydrateOptions): Promise<Look> {
  const { version, records, pace } = deps;
  const { bytesPerSecond, signal } = options;
  let copied = 0;
  let damage: Look["damage"];
  /** @returns whether it is sound. */
  const isSound = async (place: Place, read: () => Promise<unknown>) => {
    try {
      await read();
      return true;
    } catch (error) {
      if (!isDamage(error)) throw error;
      deps.onDamage(place, error);
      damage ??= { error };
      return false;
    }
  };
  for (const segment of version.manifest.tables.keys()) {
    const base = segment * SEGMENT_CHUNKS;
    let table: ReadonlyMap<number, RecordRef> = new Map();
    await isSound({ first: base, end: base + SEGMENT_CHUNKS }, async () => {
      table = await version.table(segment, { signal });
    });
    const own = await ownChunks(client, { first: base, count: SEGMENT_CHUNKS }, { signal });
    const missing = [...table].filter(([place]) => !own.has(base + place));
    for (const run of runsOf(missing)) {
      await pace.take(run.refs.length * CHUNK_BYTES, { bytesPerSecond, signal });
      for (const { first, refs } of await soundPartsOf(run)) {
        await client.cache((base + first) * CHUNK_BYTES, refs.length * CHUNK_BYTES, { signal });
        copied += refs.length * CHUNK_BYTES;
      }
    }

    /** The run when it is sound, else those of its chunks that are. */
    async function soundPartsOf(run: Run): Promise<readonly Run[]> {
      const read = ({ refs }: Run) => records.getAll(refs, { signal });
      const whole = await read(run).then(
        () => true,
        (error: unknown) => {
          if (!isDamage(error)) throw error;
          return false;
        },
      );
      if (whole) return [run];
      const sound: Run[] = [];
      for (const [i, ref] of run.refs.entries()) {
        const one = { first: run.first + i, refs: [ref] };
        const first = base + one.first;
        if (await isSound({ first, end: first + 1 }, () => read(one))) sound.push(one);
      }
      return sound;
    }
  }
  return { copied, damage };
}

/** Chunks that the disk has itself, as data or as zeros. */
async function ownChunks(
  client: NbdClient,
  { first, count }: { readonly first: number; readonly count: number },
  { signal }: Signal,
): Promise<ReadonlySet<number>> {
  const own = new Set<number>();
  const end = Math.min((first + count) * CHUNK_BYTES, client.sizeBytes);
  for (let at = first * CHUNK_BYTES; at < end; ) {
    for (const extent of await client.blockStatus(at, end - at, { context: DEPTH_CONTEXT, signal })) {
      at = extent.offset + extent.length;
      if (extent.flags !== OWN) continue;
      // One that is there in part is not.
      const whole = Math.floor(at / CHUNK_BYTES);
      for (let chunk = Math.ceil(extent.offset / CHUNK_BYTES); chunk < whole; chunk++) own.add(chunk);
    }
  }
  return own;
}

interface Run {
  readonly first: number;
  readonly refs: RecordRef[];
}

function* runsOf(chunks: readonly (readonly [number, RecordRef])[]): Generator<Run, void, void> {
  let run: Run | undefined;
  for (const [place, ref] of chunks) {
    if (run && run.first + run.refs.length === place && run.refs.length < RUN_CHUNKS) {
      run.refs.push(ref);
      continue;
    }
    if (run) yield run;
    run = { first: place, refs: [ref] };
  }
  if (run) yield run;
}

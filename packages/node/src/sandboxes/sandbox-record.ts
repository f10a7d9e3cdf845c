/**
 * What is written down of a sandbox, and where its disk and its memory lie: `<data_dir>/sandboxes/<id>`. The disk has a
 * second name in the jail of the microVM that uses it, so it stays whatever becomes of that. One record, replaced as a
 * whole, says in which of its states a sandbox is.
 */
import { link, mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { AppError, type Logger, messageOf } from "@mags/core";
import type {
  JobId,
  MicroVmId,
  MicroVmSize,
  SandboxId,
  SandboxPolicy,
  VersionRef,
  WorkspaceVersion,
} from "@mags/domain";
import { z } from "zod";
import { removeUnfinishedWrites, syncPath, writeFileDurably } from "../host/files.ts";
import type { WorkDirectories } from "../host/work-directories.ts";
import type { Image } from "../images/image.ts";
import type { Seal } from "./memory-file.ts";

/** An earlier build would take a disk that stands on a version of a workspace for a whole one. */
const VERSION = 2;
/** Without what was added since. */
const OLD_VERSION = 1;
/** Name of the file with the memory, here and in the jail. */
export const MEMORY = "memory";

/** What must be there for a record to mean anything; the rest is this node's own. */
const Readable = z.looseObject({
  version: z.union([z.literal(VERSION), z.literal(OLD_VERSION)]),
  id: z.string(),
  size: z.looseObject({ image: z.string(), vcpus: z.int(), memoryMiB: z.int(), diskGiB: z.int() }),
  grownGiB: z.int(),
  image: z.looseObject({ name: z.string(), directory: z.string(), digest: z.string() }),
  policy: z.looseObject({ idle: z.looseObject({ action: z.string(), afterMs: z.number() }) }),
  scripts: z.array(z.looseObject({ jobId: z.string() })),
  microVmId: z.string(),
  asleep: z.looseObject({ reason: z.string() }).nullable(),
});

/** A script that was handed to its microVM and is not known to be over. */
export interface ScriptRecord {
  readonly jobId: JobId;
  readonly startedAtMs: number;
  readonly keepsAwake: boolean;
}

/** A memory in a file, and what it fits. */
export interface MemoryState {
  readonly seal: Seal;
  /** The build of QEMU, and its command line: memory of another machine would not be understood. */
  readonly runtimeDigest: string;
  readonly machine: string;
  /** The disk as the guest left it: with another one its caches would be wrong, and destroy it. */
  readonly disk: DiskIdentity;
}

export interface DiskIdentity {
  readonly bytes: number;
  readonly modifiedNs: string;
}

export interface SandboxRecord {
  readonly version: typeof VERSION;
  readonly id: SandboxId;
  /** `diskGiB`: as large as it was asked to be. */
  readonly size: MicroVmSize;
  /** As large as disk and file system are; less until the growth is done. */
  readonly grownGiB: number;
  readonly image: Image;
  readonly policy: SandboxPolicy;
  /** Of what it starts by itself. */
  readonly environment: Readonly<Record<string, string>>;
  readonly lastJobId: JobId;
  readonly scripts: readonly ScriptRecord[];
  /** What its disk stands on: read there while it is not on the disk itself. Null: on nothing. */
  readonly base: VersionRef | null;
  /** What its disk was last published as, or was made from; null: nothing, or it is not synced. */
  readonly published: Published | null;
  /** Its disk was not synced when it was made. */
  readonly wasLocal?: boolean;
  /** The microVM it has, or had last. */
  readonly microVmId: MicroVmId;
  /** Null while it is awake. Without a memory it wakes from its disk. */
  readonly asleep: Asleep | null;
}

export interface Asleep {
  readonly atMs: number;
  readonly reason: string;
  readonly memory: MemoryState | null;
  /** Its disk is what was published last. */
  readonly synced?: boolean;
  /** What could not be published before it fell asleep or was lost; null or missing when that is nothing. */
  readonly behind?: Behind | null;
}

export interface Behind {
  /** As far as was known. */
  readonly bytes: number;
  /** Why, for people. */
  readonly reason: string;
}

/** A version that the disk is, but for what a bitmap in it says has changed since. */
export interface Published extends VersionRef {
  /** Null: it is the version that the disk was made from, published by another. */
  readonly info: WorkspaceVersion | null;
  readonly atMs: number | null;
  /** Names the bitmap on the disk. */
  readonly mark: string;
}

export interface SandboxPlace {
  readonly directory: string;
  readonly disk: string;
  /** Exists only while it sleeps, and is used once. */
  readonly memory: string;
}

export interface SandboxStore {
  placeOf(id: SandboxId): SandboxPlace;
  /** Takes a disk into a new sandbox; on stable storage when it resolves. */
  create(record: SandboxRecord, disk: { readonly path: string }): Promise<void>;
  write(record: SandboxRecord): Promise<void>;
  /** Removes record, disk and memory, in one step. */
  remove(id: SandboxId): Promise<void>;
  /** Those that are there; what a crash has left half made is removed, what is damaged is left alone. @throws AppError `unavailable` for a newer one. */
  load(deps: { readonly log: Logger }): Promise<SandboxRecord[]>;
}

export const sandboxesDirectory = (dataDirectory: string) => join(dataDirectory, "sandboxes");

export function createSandboxStore(root: string, work: WorkDirectories): SandboxStore {
  const recordOf = (id: string) => join(root, id, "sandbox.json");
  function placeOf(id: SandboxId): SandboxPlace {
    const directory = join(root, id);
    return { directory, disk: join(directory, "disk.qcow2"), memory: join(directory, MEMORY) };
  }
  const write = (record: SandboxRecord) => writeFileDurably(recordOf(record.id), `${JSON.stringify(record)}\n`);

  return {
    placeOf,
    async create(record, { path }) {
      const { directory, disk } = placeOf(record.id);
      await mkdir(directory, { recursive: true, mode: 0o700 });
      await rm(disk, { force: true }); // of an attempt that a crash has cut off before there was a record
      await link(path, disk);
      await write(record);
      await syncPath(root);
    },
    write,
    remove: (id) => work.remove(placeOf(id).directory),
    async load({ log }) {
      await mkdir(root, { recursive: true, mode: 0o700 });
      const { found, strays, damaged, newer } = await readSandboxRecords(root);
      if (newer.length > 0)
        throw new AppError(
          "unavailable",
          `a newer version of Mags made sandboxes that this one does not know (${newer.map((id) => join(root, id)).join(", ")}): install that version again`,
        );
      for (const { name, error } of strays) {
        log.warn("sandbox.without_record", { name, error });
        await work.remove(join(root, name));
      }
      for (const { name, error } of damaged) log.error("sandbox.damaged", { directory: join(root, name), error });
      for (const { id } of found) await removeUnfinishedWrites(placeOf(id).directory);
      return found;
    },
  };
}

function withAdditions(record: SandboxRecord): SandboxRecord {
  if (Number(record.version) !== OLD_VERSION) return record;
  return { ...record, version: VERSION, policy: { ...record.policy, syncTo: null }, base: null, published: null };
}

interface Unreadable {
  readonly name: string;
  readonly error: string;
}

/** What lies there, read only. A directory without a record holds nothing that was promised to anybody. */
export async function readSandboxRecords(root: string): Promise<{
  readonly found: SandboxRecord[];
  readonly strays: readonly Unreadable[];
  /** Their disks are not thrown away for that. */
  readonly damaged: readonly Unreadable[];
  readonly newer: readonly string[];
}> {
  const found: SandboxRecord[] = [];
  const strays: Unreadable[] = [];
  const damaged: Unreadable[] = [];
  const newer: string[] = [];
  for (const name of await readdir(root).catch(() => [] as string[])) {
    const text = await readFile(join(root, name, "sandbox.json"), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT" && error.code !== "ENOTDIR") throw error;
      return undefined;
    });
    if (text === undefined) {
      strays.push({ name, error: "its making was cut off" });
      continue;
    }
    try {
      const record = JSON.parse(text) as SandboxRecord;
      if (Number(record.version) > VERSION) newer.push(name);
      else if (Readable.parse(record).id === name) found.push(withAdditions(record));
      else throw new Error("it is another's");
    } catch (error) {
      damaged.push({ name, error: messageOf(error) }); // it is written in one step: no crash does that
    }
  }
  return { found, strays, damaged, newer };
}

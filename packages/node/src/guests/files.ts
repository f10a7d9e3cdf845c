/** Files of guests, over the agent. Guests are hostile: what they send is checked before anybody sees it. */
import { AppError, untilAborted } from "@mags/core";
import type {
  FromGuest,
  GuestEntry,
  GuestFileInfo,
  GuestFiles,
  GuestFileType,
  GuestFileWrite,
  GuestId,
} from "@mags/domain";
import { readFields } from "../agent/fields.ts";
import type { AgentConnection, FileStat } from "../agent/index.ts";
import { decodeStat } from "../agent/requests.ts";
import { TAG } from "../agent/wire.ts";
import { explainFileError, shownPath } from "./file-errors.ts";
import { openReader } from "./guest-reader.ts";
import { writeAll } from "./guest-writer.ts";
import type { Guests } from "./guests.ts";
import { holdGuest } from "./hold.ts";

const HOME = Buffer.from("/root/");
const MAX_PATH_BYTES = 4_095;
const MAX_NAME_BYTES = 255;
const SLASH = 0x2f;
const ENTRIES_PER_BATCH = 256;

const TYPES: Readonly<Record<number, GuestFileType>> = {
  1: "fifo",
  2: "character_device",
  4: "directory",
  6: "block_device",
  8: "file",
  10: "symlink",
  12: "socket",
};

interface Signals {
  readonly signal: AbortSignal;
}

export function createGuestFiles(guests: Guests): GuestFiles {
  /** Does something in a guest about a path. `what`: for messages. */
  async function work<T>(
    id: GuestId,
    options: Signals & { readonly what: string; readonly path: Buffer },
    action: (agent: AgentConnection, path: Buffer, signals: Signals) => Promise<T>,
  ): Promise<T> {
    const { what, signal } = options;
    const path = absolutePath(options.path);
    const inGuest = ({ agent, gone }: { agent: AgentConnection; gone: AbortSignal }) => {
      const both = AbortSignal.any([signal, gone]);
      return untilAborted(action(agent, path, { signal: both }), both);
    };
    try {
      return await guests.get(id).use("files", inGuest, { signal });
    } catch (error) {
      throw explainFileError(error, what, path);
    }
  }

  /** As `work`, for what goes on after it was opened: the guest is kept awake until the reader is done. */
  async function stream<T>(
    id: GuestId,
    options: Signals & { readonly what: string; readonly path: Buffer },
    open: (agent: AgentConnection, path: Buffer, signals: Signals) => Promise<FromGuest<T>>,
  ): Promise<FromGuest<T>> {
    const { what } = options;
    const path = absolutePath(options.path);
    const held = await holdGuest(guests, id, options);
    try {
      const signal = AbortSignal.any([options.signal, held.gone]);
      // A reader that is never begun has no end.
      signal.addEventListener("abort", held.release, { once: true });
      const source = await open(held.agent, path, { signal });
      return releasing(source, held.release, (error) => explainFileError(error, what, path));
    } catch (error) {
      held.release();
      throw explainFileError(error, what, path);
    }
  }

  return {
    stat: (id, { path, follow }, { signal }) =>
      work(id, { what: "look at", path, signal }, async (agent, at, signals) =>
        infoOf(await agent.stat({ path: at, follow }, signals)),
      ),
    read: (id, { path, offset, length }, { signal }) =>
      stream(id, { what: "read", path, signal }, (agent, at, signals) =>
        openReader(agent, { kind: "fileRead", path: at, offset, ...(length !== null && { length }) }, signals),
      ),
    write: (id, file, source, { signal }) =>
      work(id, { what: "write", path: file.path, signal }, async (agent, path, signals) => {
        const { bytes } = await writeAll(agent, writeOptions(file, path), source, signals);
        return bytes;
      }),
    list: (id, { path }, { signal }) =>
      stream(id, { what: "list", path, signal }, async (agent, at, signals) =>
        entries(await openReader(agent, { kind: "list", path: at }, signals)),
      ),
    remove: (id, { path, recursive }, { signal }) =>
      work(id, { what: "remove", path, signal }, (agent, at, signals) =>
        agent.remove({ path: at, recursive }, signals),
      ),
    rename: (id, { path, to, replace }, { signal }) =>
      work(id, { what: "rename", path, signal }, (agent, at, signals) =>
        agent.rename({ path: at, to: absolutePath(to), noReplace: !replace }, signals),
      ),
    makeDirectory: (id, { path, parents, mode }, { signal }) =>
      work(id, { what: "make the folder", path, signal }, (agent, at, signals) =>
        agent.makeDirectory({ path: at, parents, ...(mode !== null && { mode }) }, signals),
      ),
    pack: (id, { path }, { signal }) =>
      stream(id, { what: "pack", path, signal }, async (agent, at, signals) => {
        if (infoOf(await agent.stat({ path: at, follow: true }, signals)).type !== "directory")
          throw new AppError("file_conflict", `cannot pack ${shownPath(at)}: it is no folder`);
        return openReader(agent, { kind: "tarOut", cwd: at, paths: ["."] }, signals);
      }),
    unpack: (id, { path }, source, { signal }) =>
      work(id, { what: "unpack into", path, signal }, async (agent, at, signals) => {
        await writeAll(agent, { kind: "tarIn", cwd: at }, source, signals);
      }),
  };
}

function writeOptions({ mode, mtimeMs, parents, exclusive }: GuestFileWrite, path: Buffer) {
  return {
    kind: "fileWrite",
    path,
    parents,
    exclusive,
    atomic: true,
    ...(mode !== null && { mode }),
    ...(mtimeMs !== null && { mtimeMs }),
  } as const;
}

/** @throws AppError `validation_failed` */
function absolutePath(path: Buffer): Buffer {
  if (path.length === 0) throw new AppError("validation_failed", "path: is empty: give the path of a file or folder");
  if (path.includes(0)) throw new AppError("validation_failed", "path: must not contain zero bytes");
  const absolute = path[0] === SLASH ? path : Buffer.concat([HOME, path]);
  if (absolute.length > MAX_PATH_BYTES)
    throw new AppError("validation_failed", `path: must have at most ${MAX_PATH_BYTES} bytes`);
  return absolute;
}

function infoOf({ mode, sizeBytes, mtimeMs, uid, gid, target }: FileStat): GuestFileInfo {
  return { type: TYPES[(mode >> 12) & 0xf] ?? "unknown", mode: mode & 0o7777, sizeBytes, mtimeMs, uid, gid, target };
}

async function* entries(records: FromGuest<Buffer>): FromGuest<readonly GuestEntry[]> {
  let batch: GuestEntry[] = [];
  for await (const record of records) {
    batch.push(decodeEntry(record));
    if (batch.length < ENTRIES_PER_BATCH) continue;
    yield batch;
    batch = [];
  }
  yield batch;
}

/** @throws AppError `guest_protocol_violation` */
function decodeEntry(record: Buffer): GuestEntry {
  try {
    const fields = readFields(record);
    const name = fields.bytes(TAG.name);
    if (!name || name.length === 0 || name.length > MAX_NAME_BYTES || name.includes(0) || name.includes(SLASH))
      throw new Error("a name that no file can have");
    return { name: Buffer.from(name), ...infoOf(decodeStat(fields)) };
  } catch (cause) {
    throw new AppError("guest_protocol_violation", "the guest sent an entry of a folder that cannot be", { cause });
  }
}

async function* releasing<T>(
  source: FromGuest<T>,
  release: () => void,
  explain: (error: unknown) => unknown,
): FromGuest<T> {
  try {
    yield* source;
  } catch (error) {
    throw explain(error);
  } finally {
    release();
  }
}

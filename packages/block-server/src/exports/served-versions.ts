/**
 * Versions that are served, each on a socket of its own, until it is taken back: over restarts of this process, and
 * also when the store cannot be reached at one. What that takes is in a file of each: where it is served, and its manifest.
 */
import { once } from "node:events";
import { chmod, chown, mkdir, open, readdir, readFile, rename, rm } from "node:fs/promises";
import { createServer, type Server } from "node:net";
import { join } from "node:path";
import { AppError, type Logger, messageOf } from "@mags/core";
import { createNbdServer, type NbdServer } from "@mags/nbd";
import { CHUNK_BYTES, createVersionReader, decodeManifest, type VersionReader } from "@mags/workspace-store";
import type { CachedRecords } from "../cache/cached-records.ts";
import { EXPORT_NAME, type VersionKey } from "../calls.ts";
import type { Damages } from "./damages.ts";
import { prefetchStart } from "./prefetch-start.ts";
import type { StartNotes, StartReads } from "./start-reads.ts";
import { type Place, versionExport } from "./version-export.ts";

export interface ServedSpec {
  readonly id: string;
  readonly version: VersionKey;
  readonly socket: string;
  readonly uid: number;
}

export interface ServedVersions extends AsyncDisposable {
  /** @param manifest  As it stands in the store. */
  serve(spec: ServedSpec, manifest: Buffer): Promise<void>;
  unserve(id: string): Promise<void>;
  /** The manifest of a version that is served under that id, or was when this process began. */
  manifestOf(spec: Pick<ServedSpec, "id" | "version">): Promise<Buffer | undefined>;
  /** The version that is served under that id, and how to read it. @throws AppError `unavailable` when none is. */
  find(id: string): Pick<Served, "reader" | "notes" | "onDamage">;
  /** Also those that could not be served again: who needs one asks for it, and it is there until `unserve`. */
  ids(): readonly string[];
}

interface Served {
  readonly reader: VersionReader;
  /** To be told of what is damaged. */
  readonly onDamage: (place: Place, error: unknown) => void;
  /** Ends what is fetched ahead of its start. */
  readonly ending: AbortController;
  readonly notes: StartNotes | undefined;
  readonly listener: Server;
  readonly nbd: NbdServer;
}

const ID = /^[0-9a-zA-Z-]{1,64}$/;
const SUFFIX = ".json";

export async function openServedVersions(
  directory: string,
  deps: {
    readonly records: (account: string) => CachedRecords;
    readonly damages: Pick<Damages, "report" | "forget">;
    readonly starts: StartReads;
    readonly log: Logger;
  },
): Promise<ServedVersions> {
  const { log } = deps;
  const served = new Map<string, Served>();
  /** Those that have a file. */
  const known = new Set<string>();
  const pathOf = (id: string) => join(directory, `${id}${SUFFIX}`);

  /** @param isStart  Nothing stood on it under this id before. */
  async function begin(
    { id, version, socket, uid }: ServedSpec,
    bytes: Buffer,
    { isStart }: { readonly isStart: boolean },
  ): Promise<void> {
    const manifest = decodeManifest(bytes, version.version);
    await end(id);
    const records = deps.records(version.account);
    const reader = createVersionReader({ name: version.version, manifest, records });
    const onDamage = ({ first, end }: Place, error: unknown) => {
      const place = { offset: first * CHUNK_BYTES, length: (end - first) * CHUNK_BYTES };
      deps.damages.report({ id, version, ...place, error });
    };
    const ending = new AbortController();
    const notes = isStart ? deps.starts.note(version) : undefined;
    if (isStart) {
      const chunks = await deps.starts.of(version);
      prefetchStart({ version: reader, records }, chunks, ending).catch(() => {}); // who needs it asks again
    }
    const disk = versionExport(reader, { records, onRead: notes?.onRead, onDamage });
    const nbd = createNbdServer({ exports: { find: (name) => (name === EXPORT_NAME ? disk : undefined) }, log });
    const listener = createServer();
    nbd.serve(listener);
    // Whoever connects to the name finds a socket that listens already.
    const made = `${socket}.new`;
    await rm(made, { force: true });
    listener.listen(made);
    await once(listener, "listening");
    await chown(made, uid, uid);
    await chmod(made, 0o600);
    await rename(made, socket);
    served.set(id, { reader, onDamage, listener, nbd, ending, notes });
  }

  async function end(id: string): Promise<void> {
    const one = served.get(id);
    if (!one) return;
    served.delete(id);
    const closed = once(one.listener, "close");
    one.listener.close();
    one.ending.abort();
    await one.nbd[Symbol.asyncDispose]();
    await one.notes?.[Symbol.asyncDispose]();
    await closed;
  }

  async function stored(id: string): Promise<StoredSpec | undefined> {
    const text = await readFile(pathOf(id), "utf8").catch((error: NodeJS.ErrnoException) => {
      if (error.code !== "ENOENT") throw error;
      return undefined;
    });
    return text === undefined ? undefined : (JSON.parse(text) as StoredSpec);
  }

  await mkdir(directory, { recursive: true, mode: 0o700 });
  for (const file of await readdir(directory)) {
    if (!file.endsWith(SUFFIX)) {
      await rm(join(directory, file), { force: true });
      continue;
    }
    known.add(file.slice(0, -SUFFIX.length));
    try {
      const { spec, manifest } = JSON.parse(await readFile(join(directory, file), "utf8")) as StoredSpec;
      await begin(spec, Buffer.from(manifest, "base64"), { isStart: false });
    } catch (error) {
      // Its microVM may have gone with its directory; who still needs it asks for it again.
      log.warn("blocks.not_served_again", { file, error: messageOf(error) });
    }
  }

  return {
    async serve(spec, manifest) {
      if (!ID.test(spec.id)) throw new AppError("internal", `an export cannot be named ${spec.id}`);
      const stored: StoredSpec = { spec, manifest: manifest.toString("base64") };
      const temporary = `${pathOf(spec.id)}.new`;
      {
        await using file = await open(temporary, "w", 0o600);
        await file.writeFile(JSON.stringify(stored));
        await file.sync();
      }
      await rename(temporary, pathOf(spec.id));
      const isStart = !known.has(spec.id);
      known.add(spec.id);
      await begin(spec, manifest, { isStart });
    },
    async unserve(id) {
      await rm(pathOf(id), { force: true });
      known.delete(id);
      await end(id);
      deps.damages.forget(id);
    },
    async manifestOf({ id, version }) {
      const known = await stored(id);
      const same = known?.spec.version.version.sha256 === version.version.sha256;
      return known && same ? Buffer.from(known.manifest, "base64") : undefined;
    },
    find(id) {
      const one = served.get(id);
      if (!one) throw new AppError("unavailable", `nothing is served under ${id}`);
      return one;
    },
    ids: () => [...known],
    async [Symbol.asyncDispose]() {
      await Promise.all([...served.keys()].map(end));
    },
  };
}

interface StoredSpec {
  readonly spec: ServedSpec;
  /** As it stands in the store, base64: its digest is its name. */
  readonly manifest: string;
}

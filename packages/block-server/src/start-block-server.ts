/**
 * The block server of a node: a process of its own, which reads and writes the object store, so that neither hashing nor
 * bulk bytes hold up what starts microVMs. It outlives the server; microVMs that read from it wait while it restarts.
 */
import { randomUUID } from "node:crypto";
import { mkdir, open, readFile, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { bootId, type Clock, identify, type Logger, lockFile, untilAborted } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { createTableCache, decodeManifest, recordsOf, writerLimitMs } from "@mags/workspace-store";
import { type CachedRecords, cachedRecords } from "./cache/cached-records.ts";
import { createRecentRecords } from "./cache/recent-records.ts";
import { openRecordCache } from "./cache/record-cache.ts";
import { createStoreWatch, watchedRecords } from "./cache/watched-records.ts";
import { createVersionDiffs } from "./diffs/version-diffs.ts";
import { createDamages } from "./exports/damages.ts";
import { hydrate } from "./exports/hydrate.ts";
import { createPace } from "./exports/pace.ts";
import { openServedVersions } from "./exports/served-versions.ts";
import { soundVersions } from "./exports/sound-versions.ts";
import { createStartReads } from "./exports/start-reads.ts";
import { createImages } from "./images.ts";
import { createManifests } from "./manifests.ts";
import { serveCalls } from "./rpc/serve-calls.ts";
import { createFitness } from "./syncs/fitness.ts";
import { createWorkspaces } from "./syncs/workspaces.ts";

export interface BlockServerDeps {
  readonly store: ObjectStore;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface BlockServerOptions {
  /** Its own directory: socket, cache, what is served. */
  readonly directory: string;
  /** Names the program it is: another one is replaced by its node. */
  readonly build: string;
  /** Who holds its leases. Default: a name that it gives itself once, in its directory. */
  readonly holder?: string;
  readonly cacheBytes: number;
  /** For how long something must be garbage in the store before it is removed. */
  readonly graceMs: number;
  /** How long a sync may take. Default: as long as the time of grace allows. */
  readonly syncLimitMs?: number;
}

export interface BlockServer extends AsyncDisposable {
  /** Resolves when it was asked to end. */
  readonly asked: Promise<void>;
}

/** Of records in memory: what several guests read ahead. */
const RECENT_BYTES = 48 << 20;
/** In tables in memory, of all versions that are read: 16 GiB of data, some 60 MB. */
const TABLED_CHUNKS = 256 * 1024;

export const controlSocketOf = (directory: string) => join(directory, "control.sock");
/** Says which process has the directory: pid, start time, boot of the machine. */
export const processFileOf = (directory: string) => join(directory, "process.json");
/** Has a file for each version that is to be served. */
export const servedDirectoryOf = (directory: string) => join(directory, "served");

/** @throws AppError when another process has the directory. */
export async function startBlockServer(deps: BlockServerDeps, options: BlockServerOptions): Promise<BlockServer> {
  const { store, clock, log } = deps;
  const { directory, build, cacheBytes, graceMs, syncLimitMs: limitMs = writerLimitMs(graceMs) } = options;
  await using scope = new AsyncDisposableStack();
  await mkdir(directory, { recursive: true, mode: 0o700 });
  scope.use(await lockFile(join(directory, "lock")));
  await writeProcess(processFileOf(directory));
  const holder = options.holder ?? (await ownName(join(directory, "holder")));
  const ending = new AbortController();
  scope.defer(() => ending.abort(new Error("the block server ends")));
  const cache = scope.use(openRecordCache(join(directory, "cache"), { maxBytes: cacheBytes, log }));
  const recent = createRecentRecords({ maxBytes: RECENT_BYTES });
  const tables = createTableCache({ maxChunks: TABLED_CHUNKS });
  const watch = createStoreWatch({ log });
  const sources = new Map<string, CachedRecords>();
  const records = (account: string) => {
    const source =
      sources.get(account) ??
      cachedRecords(watchedRecords(recordsOf(store, account), watch), cache, {
        ...{ account, recent, tables },
        signal: ending.signal,
      });
    sources.set(account, source);
    return source;
  };
  const damages = createDamages({
    soundVersions: (found) => soundVersions(store, records(found.version.account), found),
    log,
  });
  const starts = createStartReads(join(directory, "starts"), { log });
  const served = scope.use(await openServedVersions(servedDirectoryOf(directory), { records, damages, starts, log }));
  const manifests = createManifests(store);
  const images = scope.use(createImages({ store, graceMs, clock, log }));
  const fitness = createFitness({ store, log }, { signal: ending.signal });
  const workspaces = scope.use(
    createWorkspaces({ store, records, images, fitness, holder, graceMs, limitMs, clock, log }),
  );
  const pace = createPace();
  const asked = Promise.withResolvers<void>();
  scope.use(
    await serveCalls(
      controlSocketOf(directory),
      {
        hello: async () => ({ build, pid: process.pid }),
        watch: async (_, { signal }) => {
          await untilAborted(asked.promise, signal);
          return null;
        },
        damages: ({ heard }, signals) => damages.after(heard, signals),
        quit: async () => {
          asked.resolve();
          return null;
        },
        serve: async (spec, signals) => {
          const { version } = spec;
          const manifest = (await served.manifestOf(spec)) ?? (await manifests(version, signals));
          await served.serve(spec, manifest);
          const { diskBytes, image } = decodeManifest(manifest, version.version);
          return { diskBytes, image };
        },
        unserve: async ({ id }) => {
          await served.unserve(id);
          return null;
        },
        hydrate: async ({ id, source, bytesPerSecond }, signals) => {
          const { reader: version, notes, onDamage } = served.find(id);
          await notes?.[Symbol.asyncDispose](); // what is read from here on is no start
          const deps = { version, records: records(version.manifest.account), onDamage, pace };
          const copiedBytes = await hydrate(deps, { source, bytesPerSecond, ...signals });
          return { copiedBytes, dataBytes: version.manifest.dataBytes };
        },
        served: async () => served.ids(),
        imageOf: async (key, signals) => decodeManifest(await manifests(key, signals), key.version).image,
        keepImage: async ({ image }, signals) => {
          await images.keep(image, signals);
          return null;
        },
        fetchImage: images.fetch,
        collectImages: (_, signals) => images.collect(signals),
        sync: workspaces.sync,
        release: workspaces.release,
        progress: workspaces.progress,
        versions: workspaces.versions,
        settle: workspaces.settle,
        diff: createVersionDiffs({ store, records }),
        restore: workspaces.restore,
        remove: workspaces.remove,
        workspaces: workspaces.workspaces,
        collect: workspaces.collect,
      },
      log,
    ),
  );
  const resources = scope.move();
  return { asked: asked.promise, [Symbol.asyncDispose]: () => resources.disposeAsync() };
}

async function writeProcess(path: string): Promise<void> {
  const temporary = `${path}.new`;
  await writeFile(temporary, JSON.stringify({ ...(await identify(process.pid)), boot: await bootId() }), {
    mode: 0o600,
  });
  await rename(temporary, path);
}

/** Written once, whole: a crash leaves the old name or none. */
async function ownName(path: string): Promise<string> {
  const known = await readFile(path, "utf8").catch((error: NodeJS.ErrnoException) => {
    if (error.code !== "ENOENT") throw error;
    return undefined;
  });
  if (known !== undefined) return known.trim();
  const name = `node-${randomUUID()}`;
  const temporary = `${path}.new`;
  {
    await using file = await open(temporary, "w", 0o600);
    await file.writeFile(`${name}\n`);
    await file.sync();
  }
  await rename(temporary, path);
  return name;
}

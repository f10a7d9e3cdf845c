/**
 * Reads everything an account has in the store, and says what is not as it must be. Changes nothing. Versions are published
 * and garbage is removed meanwhile: what looks wrong is looked at again, and is wrong only while something still needs it.
 */
import { AppError, isAppError, messageOf } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { CURE, mayBeListed } from "./collect.ts";
import { forEach } from "./for-each.ts";
import { readPackIndex } from "./format/pack.ts";
import { decodeRecord, type RecordRef } from "./format/records.ts";
import { headKey, packKey, type VersionName, versionKey } from "./keys.ts";
import { type DamagedPack, neededBy } from "./needed-by.ts";
import { recordsOf } from "./record-source.ts";
import { headOf, surveyAccount } from "./survey.ts";
import { createUsedRecords } from "./used-records.ts";
import { readManifest } from "./version-reader.ts";

type Signal = { readonly signal: AbortSignal };

export interface CheckOptions extends Signal {
  readonly account: string;
  /** Also read all packs, and check each record by its digest. Else only what lists them. */
  readonly data: boolean;
  readonly onProblem: (problem: { readonly key: string; readonly what: string }) => void;
}

export interface Checked {
  readonly workspaces: number;
  readonly versions: number;
  readonly packs: number;
  /** Records that versions use, each counted once. */
  readonly records: number;
  /** Packs that no version uses: the collector removes them in time. */
  readonly unusedPacks: number;
  readonly problems: number;
  /** Digests of the images that versions name, with the keys of those that do. */
  readonly images: ReadonlyMap<string, readonly string[]>;
}

/** Versions that are read at a time. */
const AT_ONCE = 8;

interface Listed {
  readonly workspace: string;
  readonly version: VersionName;
}

/** Needs memory for each record that a version uses: about 300 bytes. */
export async function checkAccount(store: ObjectStore, options: CheckOptions): Promise<Checked> {
  const { account, data, signal } = options;
  let problems = 0;
  const report = (key: string, what: string) => {
    problems++;
    options.onProblem({ key, what });
  };
  const survey = await surveyAccount(store, { account, signal });
  const used = createUsedRecords(recordsOf(store, account));
  const images = new Map<string, string[]>();
  const read = async ({ workspace, version }: Listed, { signal }: Signal) => {
    const key = { account, workspace };
    const user = versionKey(key, version);
    let digest: string | undefined;
    const problem = await wrongTwice(async () => {
      const manifest = await readManifest(store, key, { name: version, signal });
      digest = manifest.image.digest;
      await used.add(manifest, { user, signal });
      for (const [pack, { sizeBytes }] of manifest.packs) {
        const isBytes = survey.packs.get(pack);
        if (isBytes !== undefined && isBytes !== sizeBytes)
          throw new AppError("store_corrupt", `version ${manifest.seq} lists pack ${pack} with ${sizeBytes} bytes`);
      }
    });
    if (digest !== undefined) {
      const users = images.get(digest) ?? [];
      users.push(user);
      images.set(digest, users);
    }
    if (!problem) return;
    const isListed = await mayBeListed(store, key, { version, signal });
    // One that no head lists any more and whose manifest is gone has been collected.
    if (isListed || (await store.head(user, { signal })))
      report(user, `${problem}${isListed && digest === undefined ? CURE : ""}`);
  };

  const there = new Set(survey.versions.map(({ version }) => version.sha256));
  const listed = [...survey.heads].flatMap(([workspace, head]) =>
    (head.state === "live" ? head.versions : []).map((version) => ({ workspace, version })),
  );
  const all = [...survey.versions, ...listed.filter(({ version }) => !there.has(version.sha256))];
  await forEach(all, { width: AT_ONCE, signal }, read);
  for (const workspace of survey.unreadable.keys()) {
    const key = { account, workspace };
    const versions = survey.versions.filter((one) => one.workspace === workspace).map(({ version }) => version);
    const problem = await wrongTwice(async () => void (await headOf(store, key, { versions, signal })));
    if (problem) report(headKey(key), problem);
  }
  const damaged: (DamagedPack & { readonly key: string; readonly problems: readonly PackProblem[] })[] = [];
  for (const [pack, { records, users }] of used.packs) {
    if (!data && survey.packs.has(pack)) continue;
    const key = packKey(account, pack);
    const found = await problemsOf(store, { key, pack, records, data, signal });
    if (found.length === 0) continue;
    const again = await problemsOf(store, { key, pack, records, data, signal });
    if (again.length === 0 || !(await isAnyThere(store, users, { signal }))) continue;
    const offsets = again.flatMap((problem) => problem.offsets);
    damaged.push({ key, pack, offsets, users, problems: again });
  }
  const needed = await neededBy(store, damaged, { heads: survey.heads, signal });
  for (const [i, { key, problems }] of damaged.entries())
    for (const { what, offsets } of problems) report(key, offsets.length > 0 ? `${what}; ${needed[i]}` : what);
  return {
    workspaces: survey.heads.size + survey.unreadable.size,
    versions: survey.versions.length,
    packs: survey.packs.size,
    records: [...used.packs.values()].reduce((sum, { records }) => sum + records.size, 0),
    unusedPacks: [...survey.packs.keys()].filter((pack) => !used.packs.has(pack)).length,
    problems,
    images,
  };
}

/** What was wrong the second time; undefined when it was right once. */
export async function wrongTwice(look: () => Promise<void>): Promise<string | undefined> {
  let problem: string | undefined;
  for (let looks = 0; looks < 2; looks++) {
    try {
      await look();
      return undefined;
    } catch (error) {
      if (!isDamage(error)) throw error;
      problem = messageOf(error);
    }
  }
  return problem;
}

async function isAnyThere(store: ObjectStore, keys: Iterable<string>, { signal }: Signal): Promise<boolean> {
  for (const key of keys) if (await store.head(key, { signal })) return true;
  return false;
}

interface PackProblem {
  readonly what: string;
  /** Of the records that cannot be read. */
  readonly offsets: readonly number[];
}

async function problemsOf(
  store: ObjectStore,
  options: Signal & {
    readonly key: string;
    readonly pack: string;
    readonly records: ReadonlyMap<number, RecordRef>;
    readonly data: boolean;
  },
): Promise<PackProblem[]> {
  const { key, pack, records, data, signal } = options;
  const gone = { what: `it is not there, and ${records.size} records of it are used`, offsets: [...records.keys()] };
  if (!data) return (await store.head(key, { signal })) ? [] : [gone];
  const found: PackProblem[] = [];
  const attempt = (offsets: readonly number[], act: () => void) => {
    try {
      act();
    } catch (error) {
      if (!isDamage(error)) throw error;
      found.push({ what: messageOf(error), offsets });
    }
  };
  try {
    const { bytes } = await store.get(key, { signal });
    attempt([], () => void readPackIndex(pack, bytes));
    for (const ref of records.values())
      attempt([ref.offset], () => void decodeRecord(bytes.subarray(ref.offset, ref.offset + ref.storedBytes), ref));
  } catch (error) {
    if (!isAppError(error, "object_not_found")) throw error;
    found.push(gone);
  }
  return found;
}

function isDamage(error: unknown): boolean {
  return isAppError(error) && ["store_corrupt", "chunk_corrupt", "version_not_found"].includes(error.code);
}

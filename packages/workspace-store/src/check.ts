/** Reads everything an account has in the store, and says what is not as it must be. Changes nothing. */
import { isAppError, messageOf } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import type { Manifest } from "./format/manifest.ts";
import { readPackIndex } from "./format/pack.ts";
import { decodeRecord, type RecordRef } from "./format/records.ts";
import { packKey, versionKey } from "./keys.ts";
import { recordsOf } from "./record-source.ts";
import { surveyAccount } from "./survey.ts";
import { openVersion } from "./version-reader.ts";

export interface CheckOptions {
  readonly account: string;
  /** Also read all packs, and check each record by its digest. Else only what lists them. */
  readonly data: boolean;
  readonly signal: AbortSignal;
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
  const used = new Map<string, Map<number, RecordRef>>();
  const use = (ref: RecordRef) => {
    const records = used.get(ref.pack) ?? new Map<number, RecordRef>();
    used.set(ref.pack, records.set(ref.offset, ref));
  };

  for (const { workspace, version } of survey.versions) {
    const key = { account, workspace };
    try {
      const reader = await openVersion(store, key, { name: version, records: recordsOf(store, account), signal });
      for (const ref of await refsOf(reader.manifest, (segment) => reader.table(segment, { signal }))) use(ref);
    } catch (error) {
      if (!isDamage(error)) throw error;
      report(versionKey(key, version), messageOf(error));
    }
  }
  const there = new Set(survey.versions.map(({ version }) => version.sha256));
  for (const [workspace, head] of survey.heads)
    for (const version of head.versions)
      if (!there.has(version.sha256) && !(await store.head(versionKey({ account, workspace }, version), { signal })))
        report(versionKey({ account, workspace }, version), "the head lists it, and it is not there");

  for (const [pack, records] of used) {
    const key = packKey(account, pack);
    const sizeBytes = survey.packs.get(pack) ?? (await store.head(key, { signal }))?.sizeBytes;
    if (sizeBytes === undefined) report(key, `it is not there, and ${records.size} records of it are used`);
    else if (data) for (const what of await problemsOf(store, { key, pack, records, signal })) report(key, what);
  }
  return {
    workspaces: survey.heads.size,
    versions: survey.versions.length,
    packs: survey.packs.size,
    records: [...used.values()].reduce((sum, records) => sum + records.size, 0),
    unusedPacks: [...survey.packs.keys()].filter((pack) => !used.has(pack)).length,
    problems,
  };
}

async function refsOf(
  { tables }: Manifest,
  table: (segment: number) => Promise<ReadonlyMap<number, RecordRef>>,
): Promise<RecordRef[]> {
  const refs: RecordRef[] = [];
  for (const [segment, ref] of tables) refs.push(ref, ...(await table(segment)).values());
  return refs;
}

async function problemsOf(
  store: ObjectStore,
  options: {
    readonly key: string;
    readonly pack: string;
    readonly records: ReadonlyMap<number, RecordRef>;
    readonly signal: AbortSignal;
  },
): Promise<string[]> {
  const { key, pack, records, signal } = options;
  const found: string[] = [];
  const attempt = (act: () => void) => {
    try {
      act();
    } catch (error) {
      if (!isDamage(error)) throw error;
      found.push(messageOf(error));
    }
  };
  try {
    const { bytes } = await store.get(key, { signal });
    attempt(() => void readPackIndex(pack, bytes));
    for (const ref of records.values())
      attempt(() => void decodeRecord(bytes.subarray(ref.offset, ref.offset + ref.storedBytes), ref));
  } catch (error) {
    if (!isAppError(error, "object_not_found")) throw error;
    found.push("it is not there any more");
  }
  return found;
}

function isDamage(error: unknown): boolean {
  return isAppError(error) && ["store_corrupt", "chunk_corrupt", "version_not_found"].includes(error.code);
}

/** Which versions need damaged records of a pack, for people. */
import { isAppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import type { Head } from "./format/head.ts";
import { type VersionName, type WorkspaceKey, workspaceObjectOf } from "./keys.ts";
import { recordsOf } from "./record-source.ts";
import { createUsedRecords } from "./used-records.ts";
import { readManifest } from "./version-reader.ts";

export interface DamagedPack {
  readonly pack: string;
  /** Of its damaged records. */
  readonly offsets: readonly number[];
  /** Keys of the manifests of versions that use the pack. */
  readonly users: Iterable<string>;
}

const MOST_WORKSPACES = 5;
const MOST_VERSIONS = 10;

type Needing = Map<string, Set<number>>;

/**
 * @returns of each pack, such as `needed by workspace w, versions 1, 2: version 3 does without, mags workspace restore w
 * --version 3`. The version to go back to needs nothing damaged of any of them.
 */
export async function neededBy(
  store: ObjectStore,
  damaged: readonly DamagedPack[],
  { heads, signal }: { readonly heads: ReadonlyMap<string, Head>; readonly signal: AbortSignal },
): Promise<string[]> {
  const all: Needing = new Map();
  const each: Needing[] = [];
  for (const pack of damaged) {
    const needing: Needing = new Map();
    each.push(needing);
    for (const user of pack.users) {
      const place = workspaceObjectOf(user);
      if (!place?.version || !(await needs(store, place, { version: place.version, pack, signal }))) continue;
      for (const seqs of [needing, all]) {
        const known = seqs.get(place.workspace) ?? new Set();
        seqs.set(place.workspace, known.add(place.version.seq));
      }
    }
  }
  return each.map((needing) => {
    if (needing.size === 0) return "needed by no version that is left";
    const texts = [...needing].map(([workspace, seqs]) =>
      textOf(workspace, { seqs, unsound: all.get(workspace) ?? seqs, head: heads.get(workspace) }),
    );
    return `needed by ${bounded(texts, MOST_WORKSPACES, "; by ")}`;
  });
}

async function needs(
  store: ObjectStore,
  { account, workspace }: WorkspaceKey,
  {
    version,
    pack: { pack, offsets },
    signal,
  }: { readonly version: VersionName; readonly pack: DamagedPack; readonly signal: AbortSignal },
): Promise<boolean> {
  const used = createUsedRecords(recordsOf(store, account));
  try {
    await used.add(await readManifest(store, { account, workspace }, { name: version, signal }), { user: "", signal });
  } catch (error) {
    if (isAppError(error, "version_not_found")) return false; // it was collected meanwhile
    if (isAppError(error, "store_corrupt") || isAppError(error, "chunk_corrupt")) return true;
    throw error;
  }
  const records = used.packs.get(pack)?.records;
  return offsets.some((offset) => records?.has(offset));
}

function textOf(
  workspace: string,
  {
    seqs,
    unsound,
    head,
  }: { readonly seqs: ReadonlySet<number>; readonly unsound: ReadonlySet<number>; readonly head: Head | undefined },
): string {
  const name = head?.name ?? workspace;
  const sorted = [...seqs].sort((a, b) => a - b).map(String);
  const text = `workspace ${name}, versions ${bounded(sorted, MOST_VERSIONS, ", ")}`;
  const sound = head?.state === "live" ? head.versions.findLast(({ seq }) => !unsound.has(seq)) : undefined;
  if (!sound) return text;
  if (sound === head?.versions.at(-1)) return `${text}: version ${sound.seq}, the newest, does without`;
  return `${text}: version ${sound.seq} does without, mags workspace restore ${name} --version ${sound.seq}`;
}

function bounded(texts: readonly string[], most: number, between: string): string {
  const rest = texts.length - most;
  return texts.slice(0, most).join(between) + (rest > 0 ? `${between}${rest} more` : "");
}

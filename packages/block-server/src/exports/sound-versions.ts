import type { ObjectStore } from "@mags/object-store";
import { openVersion, type RecordSource, readHead } from "@mags/workspace-store";
import type { FoundDamage } from "./damages.ts";

/** The newest are what somebody goes back to. */
const MOST = 20;
const DEADLINE_MS = 30_000;

/** @returns numbers of versions whose disk can be read in the same place, the newest first. @throws what the store says. */
export async function soundVersions(
  store: ObjectStore,
  records: RecordSource,
  { version, offset, length }: FoundDamage,
): Promise<readonly number[]> {
  const signal = AbortSignal.timeout(DEADLINE_MS);
  const stored = await readHead(store, version, { signal });
  const sound: number[] = [];
  for (const { seq, sha256 } of (stored?.head.versions ?? []).toReversed().slice(0, MOST)) {
    const read = async () => {
      const reader = await openVersion(store, version, { name: { seq, sha256 }, records, signal });
      await reader.read(offset, Math.max(0, Math.min(length, reader.manifest.diskBytes - offset)), { signal });
    };
    await read().then(
      () => sound.push(seq),
      () => {}, // it has the same damage, or another
    );
  }
  return sound;
}

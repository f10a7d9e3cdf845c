import type { Head } from "@mags/workspace-store";

const DAY_MS = 24 * 3_600_000;

/**
 * Whether newer versions of a workspace are to be expected. Only they have older ones go, and with these the packs that a
 * compaction gives up: until then it takes room instead of freeing some.
 * @param node.holder  Who is asking: what it has open, awake or asleep, gets versions while it changes. A workspace that is
 *   closed is expected to be opened again where it was used on more than one day.
 */
export function getsVersions(
  { versions, lease }: Pick<Head, "versions" | "lease">,
  { holder, now }: { readonly holder: string; readonly now: Date },
): boolean {
  const agesMs = versions
    .filter(({ reason }) => reason !== "compaction")
    .map(({ created_at }) => now.getTime() - Date.parse(created_at));
  const isUsed = agesMs.some((ageMs) => ageMs < DAY_MS);
  return isUsed && (lease?.holder === holder || agesMs.some((ageMs) => ageMs >= DAY_MS));
}

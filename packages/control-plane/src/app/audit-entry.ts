import type { AccountId, AuditAction } from "@mags/domain";

/** By snake_case name. Never a secret. */
export type AuditData = Readonly<Record<string, string | number | boolean | null>>;

export interface AuditEntry {
  readonly action: AuditAction;
  /** Whose log it is in; null: nobody's, as nobody has signed in. */
  readonly accountId: AccountId | null;
  /** What it was done to, for people: the name of a job, of a key. */
  readonly target: string | null;
  /** Numeric; null: on this machine, or several. */
  readonly clientAddress: string | null;
  readonly data: AuditData;
}

/** More characters of a text are cut off: strangers choose some, and many wait in memory. */
const MAX_CHARACTERS = 256;
const MAX_KEY_CHARACTERS = 64;
/** More than a note from elsewhere may have with all that is added to it here. */
const MAX_KEYS = 32;

/** The entry in a bounded amount of memory. */
export function shortened(entry: AuditEntry): AuditEntry {
  const { target, clientAddress } = entry;
  return {
    ...entry,
    target: target && cut(target),
    clientAddress: clientAddress && cut(clientAddress),
    data: shortenedData(entry.data),
  };
}

function shortenedData(data: AuditData): AuditData {
  const all = Object.entries(data);
  const kept = all.length <= MAX_KEYS ? all : all.slice(0, MAX_KEYS - 1);
  const short = kept.map(([key, value]) => [
    cut(key, MAX_KEY_CHARACTERS),
    typeof value === "string" ? cut(value) : value,
  ]);
  if (kept.length < all.length) short.push(["keys_missing", all.length - kept.length]);
  return Object.fromEntries(short);
}

function cut(text: string, most: number = MAX_CHARACTERS): string {
  // Through bytes: a slice alone keeps all of the text it was cut from.
  return text.length <= most ? text : Buffer.from(`${text.slice(0, most - 1)}…`).toString();
}

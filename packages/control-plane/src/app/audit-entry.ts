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

/** The entry in a bounded amount of memory. */
export function shortened(entry: AuditEntry): AuditEntry {
  const data = Object.entries(entry.data).map(([key, value]) => [key, typeof value === "string" ? cut(value) : value]);
  return { ...entry, target: entry.target && cut(entry.target), data: Object.fromEntries(data) };
}

function cut(text: string): string {
  // Through bytes: a slice alone keeps all of the text it was cut from.
  return text.length <= MAX_CHARACTERS ? text : Buffer.from(`${text.slice(0, MAX_CHARACTERS - 1)}…`).toString();
}

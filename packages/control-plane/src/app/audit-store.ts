import type { AccountId, AuditAction } from "@mags/domain";
import type { AuditEntry } from "./audit-entry.ts";

export interface DatedAuditEntry extends AuditEntry {
  readonly at: Date;
}

export interface NewAuditRecord extends DatedAuditEntry {
  /** A UUID: the same record is stored once. */
  readonly noteId: string;
}

export interface AuditRecord extends DatedAuditEntry {
  /** Rises with each entry. */
  readonly id: number;
  /** Of the account, while there is one. */
  readonly accountEmail: string | null;
}

export interface AuditQuery {
  /** Whose entries: of these accounts, null for those of nobody; `all`: everybody's. */
  readonly of: readonly (AccountId | null)[] | "all";
  readonly action: AuditAction | null;
  /** Only entries with greater ids, the first of them; null: the last of all. */
  readonly after: number | null;
  readonly limit: number;
}

/** The stored audit log. Calls may be repeated; see `JobStore` on the database's absence. */
export interface AuditStore {
  /** In this order. */
  add(records: readonly NewAuditRecord[]): Promise<void>;
  /** Oldest first. */
  list(query: AuditQuery): Promise<readonly AuditRecord[]>;
  /** Removes at most `most` entries from before then. @returns how many. */
  removeBefore(before: Date, options: { readonly most: number }): Promise<number>;
}

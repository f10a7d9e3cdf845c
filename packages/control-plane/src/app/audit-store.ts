import type { AuditEntry } from "./audit-entry.ts";

export interface DatedAuditEntry extends AuditEntry {
  readonly at: Date;
}

export interface NewAuditRecord extends DatedAuditEntry {
  /** A UUID: the same record is stored once. */
  readonly noteId: string;
}

/** The stored audit log. Calls may be repeated; see `JobStore` on the database's absence. */
export interface AuditStore {
  /** In this order. */
  add(records: readonly NewAuditRecord[]): Promise<void>;
  /** Removes at most `most` entries from before then. @returns how many. */
  removeBefore(before: Date, options: { readonly most: number }): Promise<number>;
}

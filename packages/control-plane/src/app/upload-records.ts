import type { AccountId } from "@mags/domain";

export interface UploadRecord {
  readonly id: string;
  readonly accountId: AccountId;
  /** Without folders. */
  readonly name: string;
  readonly sizeBytes: number;
  readonly createdAt: Date;
}

/** What is known of uploads. Calls may be repeated; they reject with `unavailable` while the database is away. */
export interface UploadRecords {
  /** All of them or none. */
  insert(records: readonly UploadRecord[]): Promise<void>;
  find(id: string): Promise<UploadRecord | null>;
  /** Those of the ids that are uploads of this account. */
  owned(accountId: AccountId, ids: readonly string[]): Promise<ReadonlySet<string>>;
  /** Of all uploads of this account. */
  bytesOf(accountId: AccountId): Promise<number>;
  /** Those of the ids that are uploads. */
  known(ids: readonly string[]): Promise<ReadonlySet<string>>;
  /**
   * Forgets those made before `before` and those that were used by a job that has ended, but for what a job
   * that waits will use. @returns their ids.
   */
  removeExpired(before: Date): Promise<readonly string[]>;
}

import type { GuestId, SandboxId, UrlAccess } from "@mags/domain";

/** Requests of a sandbox that were alike. */
export interface TrafficCount {
  readonly guest: GuestId;
  /** `2026-11-28`, in UTC. */
  readonly day: string;
  /** The first digit of the status. */
  readonly statusClass: number;
  /** Of the durations. */
  readonly bucket: number;
  readonly requests: number;
  readonly bytesIn: number;
  readonly bytesOut: number;
  readonly durationMs: number;
}

export interface TrafficBatch {
  /** A UUID: the same batch counts once. */
  readonly id: string;
  readonly at: Date;
  readonly counts: readonly TrafficCount[];
  readonly entries: readonly UrlAccess[];
}

export interface StoredAccess extends Omit<UrlAccess, "guest" | "atMs"> {
  /** Rises with each. */
  readonly id: number;
  readonly at: Date;
}

export type TrafficSum = Omit<TrafficCount, "guest" | "day">;

/** Calls may be repeated; see `JobStore` on the database's absence. */
export interface UrlTrafficStore {
  /** What is of no sandbox is left out. */
  add(batch: TrafficBatch): Promise<void>;
  /** Oldest first: the first after that id, or the last of all. */
  entries(
    sandboxId: SandboxId,
    options: { readonly after: number | null; readonly limit: number },
  ): Promise<readonly StoredAccess[]>;
  /** Over all days that are kept. */
  sums(sandboxId: SandboxId): Promise<readonly TrafficSum[]>;
  /** Removes at most so many entries that are from before then, or of a sandbox beyond the newest so many. @returns how many */
  removeEntries(options: { readonly before: Date; readonly newest: number; readonly most: number }): Promise<number>;
  /** Removes at most so many counts of days before that of `before`, in UTC. @returns how many */
  removeCounts(options: { readonly before: Date; readonly most: number }): Promise<number>;
  /** Batches that came before then would count again. */
  forgetBatches(before: Date): Promise<void>;
}

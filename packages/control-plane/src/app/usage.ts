import type { AccountId } from "@mags/domain";

export interface UsageSummary {
  /** Created within the window, as are those below; `runningJobs` run now, whenever they were created. */
  readonly totalJobs: number;
  readonly completedJobs: number;
  readonly runningJobs: number;
  readonly failedJobs: number;
  /** Seconds that microVMs ran within the window, whenever their jobs were created. */
  readonly vmSeconds: number;
  /** What the latest versions of its workspaces take in the object store now; what workspaces share counts in each. */
  readonly storageBytes: number;
  /** Of URLs, on the days of the window; bytes of bodies and WebSockets. */
  readonly urlRequests: number;
  readonly urlBytesIn: number;
  readonly urlBytesOut: number;
}

export interface UsageStore {
  /** Sums up what an account used from `from` to `to`, which is now. */
  summary(accountId: AccountId, window: { readonly from: Date; readonly to: Date }): Promise<UsageSummary>;
}

import type { JobId } from "@mags/domain";

/** Where the time of a job goes, as this process sees it; jobs of an earlier process are not counted. */
export interface JobTimings {
  /** @param receivedMs Monotonic time at which the request came in. */
  submitted(jobId: JobId, receivedMs: number): void;
  started(jobId: JobId): void;
  /** The first output goes out to whoever follows the job. Only the first call of a job counts. */
  firstOutput(jobId: JobId): void;
  ended(jobId: JobId, status: "completed" | "error"): void;
}

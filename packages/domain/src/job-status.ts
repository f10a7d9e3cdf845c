/** States of a job as stored and sent. `accepted` exists only in the reply to a submit. */
export const JOB_STATUSES = ["pending", "running", "sleeping", "completed", "error"] as const;

export type JobStatus = (typeof JOB_STATUSES)[number];

export function isTerminal(status: JobStatus): boolean {
  return status === "completed" || status === "error";
}

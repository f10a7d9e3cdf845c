import { AppError } from "@mags/core";
import { type AccountId, isUuid, NAME_PATTERN } from "@mags/domain";
import type { Job } from "../app/job.ts";
import type { JobStore } from "../app/job-store.ts";

/**
 * The job that a path names, by id, by name or by workspace.
 * @throws AppError `job_not_found`; other accounts' jobs are not found either.
 */
export async function findJob(store: JobStore, accountId: AccountId, idOrName: string): Promise<Job> {
  const possible = isUuid(idOrName) || NAME_PATTERN.test(idOrName);
  const job = possible ? await store.find(accountId, idOrName) : null;
  if (!job) throw new AppError("job_not_found", `No job found with id, name or workspace ${JSON.stringify(idOrName)}`);
  return job;
}

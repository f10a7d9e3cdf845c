import { ROUTES } from "@mags/api-schema";
import { AppError, isAppError } from "@mags/core";
import { type ExecRequest, type ExecResult, isTerminal, type NodeRuntime } from "@mags/domain";
import type { Job } from "../app/job.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";
import { findJob } from "./find-job.ts";

const MAX_STREAM_BYTES = 8 * 1024 * 1024;

export function execInJobRoute({ store, node }: RouteDeps): BoundRoute {
  return bind(ROUTES.execInJob, async ({ params, body, account, signal }) => {
    const job = await findJob(store, account.id, params.id);
    const request = {
      command: body.command,
      timeoutMs: Math.ceil(body.timeout * 1000),
      maxBytes: MAX_STREAM_BYTES,
    };
    const result = await execIn(node, job, request, signal);
    return {
      exit_code: result.exitCode,
      stdout: result.stdout.toString(body.encoding),
      stderr: result.stderr.toString(body.encoding),
      ...(result.timedOut && { timed_out: true }),
      ...(result.truncated && { truncated: true }),
    };
  });
}

/** Clients look for the words `not running` and `no VM associated with this job`. */
async function execIn(node: NodeRuntime, job: Job, request: ExecRequest, signal: AbortSignal): Promise<ExecResult> {
  if (isTerminal(job.status))
    throw new AppError("job_not_running", `job ${job.name} is not running: it has ended (${job.status})`);
  try {
    // Asked even if the job is still recorded as pending: the node knows first when it runs.
    return await node.exec(job.id, request, { signal });
  } catch (error) {
    if (isAppError(error, "microvm_lost"))
      throw new AppError("job_not_running", `job ${job.name} is not running: it ended while the command ran`, {
        cause: error,
      });
    if (!isAppError(error, "job_not_running")) throw error;
    if (job.status === "pending")
      throw new AppError("no_vm", `there is no VM associated with this job yet: ${job.name} waits for one, try again`, {
        cause: error,
      });
    throw new AppError("job_not_running", `job ${job.name} is not running: it is ending`, { cause: error });
  }
}

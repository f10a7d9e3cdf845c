import { ROUTES } from "@mags/api-schema";
import { inGuest } from "../app/in-guest.ts";
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
    const result = await inGuest(job, (guest) => node.exec(guest, request, { signal }));
    return {
      exit_code: result.exitCode,
      stdout: result.stdout.toString(body.encoding),
      stderr: result.stderr.toString(body.encoding),
      ...(result.timedOut && { timed_out: true }),
      ...(result.truncated && { truncated: true }),
    };
  });
}

import { MagsError } from "./errors.ts";
import type { Transport } from "./transport.ts";
import type { JobStatus } from "./wire.generated.ts";

/** The exact 8-4-4-4-12 form only: long names with dashes are no ids. */
const REQUEST_ID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;
export const isRequestId = (text: string): boolean => REQUEST_ID.test(text);

/**
 * @param rest  What follows the job in the path, with its slash.
 * @throws MagsError like the server's for an unknown job, for texts that cannot stand in a path.
 */
export function jobPath(nameOrId: string, rest = ""): string {
  if (/^\.{0,2}$/.test(nameOrId))
    throw new MagsError(`No job found with the name or id "${nameOrId}"`, { statusCode: 404, code: "job_not_found" });
  return `/mags-jobs/${encodeURIComponent(nameOrId)}${rest}`;
}

/** The id of the job that a name means now. */
export async function resolveRequestId(transport: Transport, nameOrId: string): Promise<string> {
  if (isRequestId(nameOrId)) return nameOrId;
  const status = await transport.json<JobStatus>({ method: "GET", path: jobPath(nameOrId, "/status") });
  return status.request_id;
}

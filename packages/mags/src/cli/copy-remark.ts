import type { Mags } from "../sdk/mags.ts";
import type { RunOptions } from "../sdk/run-options.ts";

/**
 * What is to be said of a job that works on a copy of a synced workspace: what it changes there is not kept. Never
 * rejects: a remark that the server cannot give is left out.
 * @returns undefined when the job works on no copy.
 */
export async function remarkOnCopy(
  mags: Mags,
  requestId: string,
  { workspaceId, persistent, noSync }: RunOptions,
): Promise<string | undefined> {
  if (workspaceId === undefined || (persistent && !noSync)) return undefined;
  // Its events are stored with the job, so this one is there from the beginning.
  const reply = await mags.events(requestId).catch(() => undefined);
  return reply?.events.find(({ name }) => name === "local_copy")?.message;
}

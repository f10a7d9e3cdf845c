import { untilAborted } from "@mags/core";
import type { ExecRequest, ExecResult, GuestId } from "@mags/domain";
import type { Guests } from "./guests.ts";

/** Runs one command in a guest and collects its output. When `signal` aborts, its process group is killed. */
export function execIn(
  guests: Guests,
  id: GuestId,
  request: ExecRequest,
  { signal }: { readonly signal: AbortSignal },
): Promise<ExecResult> {
  const { command, timeoutMs, maxBytes } = request;
  const argv = ["/bin/sh", "-c", command];
  return guests
    .get(id)
    .use(
      "exec",
      ({ agent, gone }) => untilAborted(agent.run({ argv, timeoutMs, killAfterMs: 0, maxBytes }, { signal }), gone),
      { signal },
    );
}

/** How a streamed command is asked of the guest's agent. */
import type { ExecStart } from "@mags/domain";
import type { OpenOptions } from "../agent/index.ts";

/** Followed by the id, it is the key of the stream. */
export const KEY_PREFIX = "exec:";
const WINDOW_BYTES = 1024 * 1024;

export function openOptions(start: ExecStart): OpenOptions {
  const { execId, command, terminal, stdin, environment, cwd, timeoutMs, leavesGroup } = start;
  const common = {
    key: Buffer.from(KEY_PREFIX + execId),
    keep: true,
    window: WINDOW_BYTES,
    argv: ["/bin/sh", "-c", command ?? "[ -x /bin/bash ] && exec /bin/bash -l; exec /bin/sh -l"],
    ...(cwd !== null && { cwd }),
    ...(timeoutMs !== null && { timeoutMs }),
    killGroup: !leavesGroup,
  };
  if (!terminal) return { kind: "exec", ...common, environment, stdin };
  const { rows, cols, term, modes } = terminal;
  return {
    ...{ kind: "pty", ...common, environment: { TERM: term, ...environment }, rows, cols },
    ...(modes !== null && { modes }),
  };
}

/** When the sandbox of a connection is over, whether or not anything of the connection is in it. */
import { isAppError, sleep } from "@mags/core";
import type { GuestId, SshDirectory, SshUser } from "@mags/domain";

export interface UntilOverDeps {
  readonly directory: Pick<SshDirectory, "guest" | "untilOver">;
  readonly user: SshUser;
  /** Where something of the connection is already. */
  readonly known: () => GuestId | undefined;
  /** Aborted when the connection is over. */
  readonly signal: AbortSignal;
}

/** Most connections are over sooner, and cost nothing here. */
const FIRST_MS = 2_000;
/** Until the server is back, or there is a guest. */
const MOST_PAUSE_MS = 60_000;

/**
 * Resolves with why, for the user.
 * @param options.firstMs  How long nothing is asked. Default: 2 s.
 * @throws the signal's reason
 */
export async function untilOver(
  { directory, user, known, signal }: UntilOverDeps,
  { firstMs = FIRST_MS }: { readonly firstMs?: number } = {},
): Promise<string> {
  for (let pauseMs = firstMs; ; pauseMs = Math.min(2 * pauseMs, MOST_PAUSE_MS)) {
    await sleep(pauseMs, { signal });
    try {
      await directory.untilOver(known() ?? (await directory.guest(user, { signal })), { signal });
      return await whyOver(directory, user, signal);
    } catch (error) {
      signal.throwIfAborted();
      if (isAppError(error, "job_not_running")) return error.message;
    }
  }
}

async function whyOver(directory: UntilOverDeps["directory"], user: SshUser, signal: AbortSignal): Promise<string> {
  const gone = `the VM of ${user.target} that this connection was to is gone`;
  return directory.guest(user, { signal }).then(
    () => `${gone}: connect again for the one that has its name now`,
    (error: unknown) => (isAppError(error, "job_not_running") ? error.message : gone),
  );
}

/** Public keys that people keep on their accounts, to sign in by SSH with. */
import { type Clock, type Logger, messageOf } from "@mags/core";
import type { SshKeyId } from "@mags/domain";
import type { SshKeyHolder, SshKeyStore } from "./ssh-key-store.ts";

/** Last use of a key is written down at most this often. */
const TOUCH_INTERVAL_MS = 60_000;

export interface SshKeys {
  /** All accounts with that key. One query, whether there are any or not. */
  byFingerprint(fingerprint: string): Promise<readonly SshKeyHolder[]>;
  /** Somebody signed in with it. Never throws, never waits. */
  used(keyId: SshKeyId): void;
}

export function createSshKeys(deps: {
  readonly store: SshKeyStore;
  readonly clock: Clock;
  readonly log: Logger;
}): SshKeys {
  const { store, clock, log } = deps;
  return {
    byFingerprint: (fingerprint) => store.byFingerprint(fingerprint),
    used(keyId) {
      const now = clock.now();
      const unlessAfter = new Date(now.getTime() - TOUCH_INTERVAL_MS);
      store.touch(keyId, now, { unlessAfter }).catch((error: unknown) => {
        log.info("ssh_key.touch_failed", { keyId, error: messageOf(error) });
      });
    },
  };
}

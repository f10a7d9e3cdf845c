import { AppError, type Clock } from "@mags/core";
import type { Sealing } from "./sealing.ts";
import type { SshAccessStore } from "./ssh-access-store.ts";
import { newSshKeyPair, type SshKeyPair, sshKeyPairOf } from "./ssh-key-pair.ts";

const NAME = "ssh_host_key";
const ROW = `installation_secrets/${NAME}`;

/**
 * The key that clients know the installation by: made once, the same for good on all its servers.
 * @throws AppError `unavailable` when it cannot be opened: to make another would tell every client that somebody stands
 * in between, so that is the operator's decision.
 */
export async function loadHostKey(deps: {
  readonly store: Pick<SshAccessStore, "secret" | "replaceSecret">;
  readonly sealing: Sealing;
  readonly clock: Clock;
  /** Whether another is made in the place of one that cannot be opened. */
  readonly replacesLost: boolean;
}): Promise<SshKeyPair> {
  const { store, sealing, clock, replacesLost } = deps;
  const make = () => ({ sealed: sealing.seal(newSshKeyPair("mags host key").privateKey, ROW), at: clock.now() });
  const sealed = await store.secret(NAME, make);
  let opened = sealing.open(sealed, ROW);
  if ("refused" in opened && replacesLost) opened = sealing.open(await store.replaceSecret(NAME, sealed, make()), ROW);
  if ("secret" in opened) return sshKeyPairOf(opened.secret);
  throw new AppError(
    "unavailable",
    `the host key for SSH cannot be opened: ${opened.refused}. Put the right key file back; if it is lost for good, set ssh.replace_lost_host_key to true in the configuration: a new host key is made then, and every SSH client will say that it changed`,
  );
}

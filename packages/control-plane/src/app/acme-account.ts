import type { Clock, Secret } from "@mags/core";
import type { Sealing } from "./sealing.ts";
import type { SshAccessStore } from "./ssh-access-store.ts";

const NAME = "acme_account_key";
const ROW = `installation_secrets/${NAME}`;

/** The key of the installation's account with a certificate authority. One that cannot be opened is replaced: accounts are free. */
export async function loadAcmeAccountKey(deps: {
  readonly store: Pick<SshAccessStore, "secret" | "replaceSecret">;
  readonly sealing: Sealing;
  readonly clock: Pick<Clock, "now">;
  readonly newKey: () => Secret;
}): Promise<Secret> {
  const { store, sealing, clock, newKey } = deps;
  const make = () => ({ sealed: sealing.seal(newKey(), ROW), at: clock.now() });
  const sealed = await store.secret(NAME, make);
  let opened = sealing.open(sealed, ROW);
  if ("refused" in opened) opened = sealing.open(await store.replaceSecret(NAME, sealed, make()), ROW);
  if ("refused" in opened) throw new Error(`what was just sealed does not open: ${opened.refused}`);
  return opened.secret;
}

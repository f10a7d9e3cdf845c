/** What tests of SSH say again and again, to one control plane. */
import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { Secret } from "@mags/core";
import type { AccountId, SshKeyId, SshPublicKey, SshUser } from "@mags/domain";
import { newSshKeyPair, sshKeyPairOf } from "../../src/app/ssh-key-pair.ts";
import type { SshServiceConfig } from "../../src/app/ssh-service.ts";
import { createSshKeyStore } from "../../src/sql/ssh-key-store.ts";
import type { TestPlane } from "./plane.ts";
import { type Body, JOBS } from "./sandboxes.ts";

export const SHARED_PORT = 2222;
export const SSH: SshServiceConfig = {
  host: "ssh.example",
  port: () => SHARED_PORT,
  jobPorts: { from: 40_000, to: 40_099 },
};

export const newKey = (): SshPublicKey => newSshKeyPair("test").publicKey;

export function sshTests(plane: () => TestPlane) {
  const signal = new AbortController().signal;
  const directory = () => plane().plane.ssh ?? assert.fail("SSH is off");

  async function access(job: string): Promise<Body> {
    const { status, body } = await plane().admin.call("POST", `${JOBS}/${job}/access`, { port: 22 });
    assert.equal(status, 200, JSON.stringify(body));
    return body;
  }

  const signIn = (login: string, key: SshPublicKey, port: number = SHARED_PORT): Promise<SshUser | null> =>
    directory().find({ login, key, port, clientAddress: "127.0.0.1" }, { signal });

  async function mustSignIn(...args: Parameters<typeof signIn>): Promise<SshUser> {
    return (await signIn(...args)) ?? assert.fail(`${args[0]} may not sign in`);
  }

  const guest = (user: SshUser) => directory().guest(user, { signal });

  /** Puts the key on an account. */
  async function addKey(accountId: AccountId, key: SshPublicKey, name = key.fingerprint): Promise<SshKeyId> {
    const store = createSshKeyStore(plane().database);
    const now = new Date();
    const challenge = randomUUID();
    const expiresAt = new Date(now.getTime() + 60_000);
    await store.addChallenge({ challenge, accountId, fingerprint: key.fingerprint, expiresAt }, { now, most: 100 });
    const id = randomUUID() as SshKeyId;
    const added = await store.add({ id, accountId, name, ...key, createdAt: now }, { challenge, most: 100 });
    assert.equal(added, "added");
    return id;
  }

  const removeKey = (accountId: AccountId, id: SshKeyId) => createSshKeyStore(plane().database).remove(accountId, id);
  const adminId = async (): Promise<AccountId> => ((await plane().admin.call("GET", "/api/v1/me")).body as Body).id;

  return { access, signIn, mustSignIn, guest, addKey, removeKey, adminId, directory };
}

/** Of the key that an access call gave. */
export const publicOf = (access: Body): SshPublicKey => sshKeyPairOf(new Secret(access.ssh_private_key)).publicKey;

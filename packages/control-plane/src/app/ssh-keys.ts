/**
 * Public keys that people keep on their accounts, to sign in by SSH with. Whoever adds one shows that it is his by
 * signing a challenge, which holds for a while and for one key, and is used once.
 */
import { randomBytes, randomUUID } from "node:crypto";
import { AppError, type Clock, type Logger, messageOf } from "@mags/core";
import { type AccountId, isUuid, type SshKeyId } from "@mags/domain";
import { type ParsedPublicKey, parsePublicKey } from "../openssh/public-key.ts";
import { checkSignature } from "../openssh/signature.ts";
import type { ChangeOrigin } from "./accounts.ts";
import type { AuditLog } from "./audit-log.ts";
import type { SshKey, SshKeyChallenge, SshKeyHolder, SshKeyStore } from "./ssh-key-store.ts";

/** What the signature is for: one that was made for something else is refused. */
export const NAMESPACE = "mags-key";

const CHALLENGE_MS = 600_000;
const MOST_CHALLENGES = 20;
const MOST_KEYS = 100;
/** Last use of a key is written down at most this often. */
const TOUCH_INTERVAL_MS = 60_000;
const MOST_CHARACTERS = 100;

export interface SshKeyToAdd {
  /** Undefined: the comment of the key. */
  readonly name: string | undefined;
  /** A line as in `.pub` files. */
  readonly publicKey: string;
  readonly challenge: string;
  /** What `ssh-keygen -Y sign -n mags-key` made of the challenge. */
  readonly signature: string;
}

export interface SshKeys {
  /** All accounts with that key. One query, whether there are any or not. */
  byFingerprint(fingerprint: string): Promise<readonly SshKeyHolder[]>;
  /** Somebody signed in with it. Never throws, never waits. */
  used(keyId: SshKeyId): void;
  /** Longest there first. */
  list(accountId: AccountId): Promise<readonly SshKey[]>;
  /**
   * What is to be signed with that key, before it can be added.
   * @param server  What the client calls this server: whoever signs for another one sees that he does.
   */
  challenge(accountId: AccountId, publicKey: string, options: { readonly server: string }): Promise<SshKeyChallenge>;
  /** @throws AppError `validation_failed`, `ssh_key_exists` or `ssh_key_name_taken`, that says what was wrong and what to do. */
  add(accountId: AccountId, key: SshKeyToAdd, origin: ChangeOrigin): Promise<SshKey>;
  /**
   * @param which  Its id, fingerprint or name.
   * @throws AppError `ssh_key_not_found` when the account has no such key.
   */
  remove(accountId: AccountId, which: string, origin: ChangeOrigin): Promise<SshKey>;
}

export function createSshKeys(deps: {
  readonly store: SshKeyStore;
  readonly audit: Pick<AuditLog, "note">;
  readonly clock: Clock;
  readonly log: Logger;
}): SshKeys {
  const { store, audit, clock, log } = deps;

  function note(action: "key_added" | "key_removed", accountId: AccountId, key: SshKey, origin: ChangeOrigin): void {
    const data = { key_id: key.id, fingerprint: key.fingerprint, type: key.type };
    audit.note({ action, accountId, target: key.name, clientAddress: origin.clientAddress ?? null, data });
  }

  async function checkChallenge(accountId: AccountId, challenge: string, key: ParsedPublicKey): Promise<void> {
    const known = await store.challenge(accountId, challenge);
    if (known === null) throw badChallenge("is none of this account, or was used");
    if (known.fingerprint !== key.fingerprint)
      throw badChallenge(`was given for the key ${known.fingerprint}, not for ${key.fingerprint}`);
    if (known.expiresAt <= clock.now()) throw badChallenge(`expired at ${known.expiresAt.toISOString()}`);
  }

  return {
    byFingerprint: (fingerprint) => store.byFingerprint(fingerprint),

    used(keyId) {
      const now = clock.now();
      const unlessAfter = new Date(now.getTime() - TOUCH_INTERVAL_MS);
      store.touch(keyId, now, { unlessAfter }).catch((error: unknown) => {
        log.info("ssh_key.touch_failed", { keyId, error: messageOf(error) });
      });
    },

    list: (accountId) => store.list(accountId),

    async challenge(accountId, publicKey, { server }) {
      const { fingerprint } = parsePublicKey(publicKey);
      const now = clock.now();
      // Readable, so that whoever signs sees what for. Clients compare its beginning with the server that they talk to.
      const nonce = randomBytes(24).toString("base64url");
      const challenge = `${NAMESPACE} server=${server} account=${accountId} key=${fingerprint} nonce=${nonce}`;
      const given = { challenge, accountId, fingerprint, expiresAt: new Date(now.getTime() + CHALLENGE_MS) };
      await store.addChallenge(given, { now, most: MOST_CHALLENGES });
      return given;
    },

    async add(accountId, { name: wanted, publicKey, challenge, signature }, origin) {
      const parsed = parsePublicKey(publicKey);
      const name = wanted === undefined ? defaultName(parsed) : checkedName(wanted);
      await checkChallenge(accountId, challenge, parsed);
      checkSignature(signature, { by: parsed, namespace: NAMESPACE, text: challenge });
      const { type, blob, fingerprint } = parsed;
      const key = { id: randomUUID() as SshKeyId, name, type, blob, fingerprint, createdAt: clock.now() };
      const result = await store.add({ ...key, accountId }, { challenge, most: MOST_KEYS });
      switch (result) {
        case "added": {
          const added = { ...key, lastUsedAt: null };
          note("key_added", accountId, added, origin);
          return added;
        }
        case "exists":
          throw new AppError("ssh_key_exists", `the key ${fingerprint} is on this account already`);
        case "name_taken":
          throw new AppError(
            "ssh_key_name_taken",
            `there is another key with the name ${JSON.stringify(name)}: give this one another name`,
          );
        case "too_many":
          throw new AppError("validation_failed", `an account has at most ${MOST_KEYS} keys: remove one before`);
        case "challenge_used":
          throw badChallenge("was used");
        default:
          return result satisfies never;
      }
    },

    async remove(accountId, which, origin) {
      const keys = await store.list(accountId);
      // No name looks like an id or a fingerprint.
      const key = keys.find(({ id, fingerprint, name }) => id === which || fingerprint === which || name === which);
      if (!key || !(await store.remove(accountId, key.id)))
        throw new AppError("ssh_key_not_found", `there is no SSH key ${JSON.stringify(which)} on this account`);
      note("key_removed", accountId, key, origin);
      return key;
    },
  };
}

function badChallenge(why: string): AppError {
  return new AppError("validation_failed", `challenge: ${why}; ask for another and sign that`);
}

function checkedName(wanted: string): string {
  const name = wanted.trim();
  if (name === "" || name.length > MOST_CHARACTERS || /\p{C}/u.test(name))
    throw new AppError("validation_failed", `name: is 1 to ${MOST_CHARACTERS} printable characters`);
  if (!isFree(name)) throw new AppError("validation_failed", "name: must not look like an id, a fingerprint or a path");
  return name;
}

/** The comment as far as it can be a name, or the type. */
function defaultName({ comment, type }: ParsedPublicKey): string {
  const name = comment.replaceAll(/\p{C}/gu, "").slice(0, MOST_CHARACTERS).trim();
  return name !== "" && isFree(name) ? name : type;
}

/** It is told from ids and fingerprints, and can be the last part of an address. */
function isFree(name: string): boolean {
  return !isUuid(name) && !name.startsWith("SHA256:") && name !== "." && name !== "..";
}

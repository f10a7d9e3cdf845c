import type { AccountId, SshKeyId, SshPublicKey } from "@mags/domain";

export interface SshKey extends SshPublicKey {
  readonly id: SshKeyId;
  /** Of an account no two have the same. */
  readonly name: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
}

/** One account that a key is on. */
export interface SshKeyHolder {
  readonly keyId: SshKeyId;
  readonly accountId: AccountId;
  /** Of the key. */
  readonly name: string;
  /** The key as it is sent. */
  readonly publicKey: Buffer;
  readonly accountName: string;
  readonly accountEmail: string;
}

export interface SshKeyChallenge {
  readonly challenge: string;
  readonly accountId: AccountId;
  readonly fingerprint: string;
  readonly expiresAt: Date;
}

/** What became of a key that was to be added; anything but `added` changed nothing. */
export type SshKeyAddition = "added" | "exists" | "name_taken" | "too_many" | "challenge_used";

/** The stored keys. Calls may be repeated; see `JobStore` on the database's absence. */
export interface SshKeyStore {
  /** All accounts with that key, longest there first. */
  byFingerprint(fingerprint: string): Promise<readonly SshKeyHolder[]>;
  /** Longest there first. */
  list(accountId: AccountId): Promise<readonly SshKey[]>;
  /** Uses the challenge up and adds the key, both or neither. */
  add(
    key: Omit<SshKey, "lastUsedAt"> & { readonly accountId: AccountId },
    options: { readonly challenge: string; readonly most: number },
  ): Promise<SshKeyAddition>;
  /** @returns false when the account has no such key. */
  remove(accountId: AccountId, keyId: SshKeyId): Promise<boolean>;
  /** Writes the last use down, unless that was done after `unlessAfter`. */
  touch(keyId: SshKeyId, at: Date, options: { readonly unlessAfter: Date }): Promise<void>;
  /** Removes challenges that expired before `now`, and of the account's the oldest beyond `most`, this one counted. */
  addChallenge(challenge: SshKeyChallenge, options: { readonly now: Date; readonly most: number }): Promise<void>;
  /** Null: the account has no such challenge. */
  challenge(accountId: AccountId, challenge: string): Promise<SshKeyChallenge | null>;
}

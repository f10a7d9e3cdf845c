import type { AccountId, TokenId } from "@mags/domain";

export type AccountRole = "admin" | "user";

export interface Account {
  readonly id: AccountId;
  readonly email: string;
  readonly name: string;
  readonly role: AccountRole;
}

export interface NewAccount extends Account {
  /** The one account that an installation begins with. */
  readonly bootstrap: boolean;
  readonly createdAt: Date;
}

export interface AccessToken {
  readonly id: TokenId;
  readonly name: string;
  /** Its first characters, to recognize it by. */
  readonly prefix: string;
  readonly createdAt: Date;
  readonly lastUsedAt: Date | null;
}

export interface NewAccessToken {
  readonly id: TokenId;
  readonly accountId: AccountId;
  readonly name: string;
  readonly prefix: string;
  /** SHA-256 of the token. */
  readonly hash: Buffer;
  readonly createdAt: Date;
}

/** The stored accounts and the hashes of their tokens. Calls may be repeated; see `JobStore` on the database's absence. */
export interface AccountStore {
  /** @returns false when there is one with this id, email, or the bootstrap account is there already. */
  add(account: NewAccount): Promise<boolean>;
  bootstrapAccount(): Promise<Account | null>;
  /** One round trip: it is on the path of every request. */
  findByTokenHash(
    hash: Buffer,
  ): Promise<{ readonly account: Account; readonly tokenId: TokenId; readonly lastUsedAt: Date | null } | null>;
  addToken(token: NewAccessToken): Promise<void>;
  /** Oldest first. */
  tokens(accountId: AccountId): Promise<readonly AccessToken[]>;
  /** @returns null when the account has no such token. */
  deleteToken(
    accountId: AccountId,
    tokenId: TokenId,
  ): Promise<{ readonly name: string; readonly prefix: string } | null>;
  touchToken(tokenId: TokenId, at: Date): Promise<void>;
}

import { randomUUID } from "node:crypto";
import { AppError, type Clock, type Logger, messageOf, Secret } from "@mags/core";
import { type AccountId, isUuid, type TokenId } from "@mags/domain";
import type { AccessToken, Account, AccountRole, AccountStore } from "./account-store.ts";
import type { AuditLog } from "./audit-log.ts";
import { hashToken, looksLikeToken, newToken, tokenPrefix } from "./token.ts";

/** Last use of a token is written down at most this often. */
const TOUCH_INTERVAL_MS = 60_000;

export interface IssuedToken {
  readonly record: AccessToken;
  /** In clear: it is not stored and cannot be had again. */
  readonly token: Secret;
}

/** Who asks for a change, for the audit log. */
export interface ChangeOrigin {
  /** Numeric; without it, somebody on the machine of the server. */
  readonly clientAddress?: string;
}

export interface Accounts {
  /** The account whose token this is; null for a wrong or revoked one. */
  authenticate(token: string): Promise<Account | null>;
  /** Makes the installation's first account if it has none. */
  ensureBootstrap(): Promise<Account>;
  /** A token for the first account: for whoever rules the machine. */
  issueBootstrapToken(name: string): Promise<Secret>;
  /** @throws AppError `validation_failed` when the email is taken. */
  create(fields: { readonly email: string; readonly name: string; readonly role: AccountRole }): Promise<Account>;
  issueToken(accountId: AccountId, name: string, origin?: ChangeOrigin): Promise<IssuedToken>;
  tokens(accountId: AccountId): Promise<readonly AccessToken[]>;
  /** @throws AppError `token_not_found` when the account has no such token. */
  revokeToken(accountId: AccountId, tokenId: string, origin: ChangeOrigin): Promise<void>;
}

export function createAccounts(deps: {
  readonly store: AccountStore;
  readonly audit: Pick<AuditLog, "note">;
  readonly clock: Clock;
  readonly log: Logger;
}): Accounts {
  const { store, audit, clock, log } = deps;

  async function issueToken(accountId: AccountId, name: string, origin: ChangeOrigin = {}): Promise<IssuedToken> {
    const token = newToken();
    const record = { id: randomUUID() as TokenId, name, prefix: tokenPrefix(token), createdAt: clock.now() };
    await store.addToken({ ...record, accountId, hash: hashToken(token) });
    const { id, prefix } = record;
    const clientAddress = origin.clientAddress ?? null;
    audit.note({ action: "token_created", accountId, target: name, clientAddress, data: { token_id: id, prefix } });
    return { record: { ...record, lastUsedAt: null }, token: new Secret(token) };
  }

  async function touch(tokenId: TokenId, lastUsedAt: Date | null): Promise<void> {
    const now = clock.now();
    if (lastUsedAt !== null && now.getTime() - lastUsedAt.getTime() < TOUCH_INTERVAL_MS) return;
    await store.touchToken(tokenId, now);
  }

  async function bootstrapAccount(): Promise<Account> {
    const account = await store.bootstrapAccount();
    if (!account) throw new AppError("internal", "the installation has no first account");
    return account;
  }

  return {
    async authenticate(token) {
      if (!looksLikeToken(token)) return null;
      const found = await store.findByTokenHash(hashToken(token));
      if (!found) return null;
      // Not awaited: no request waits for it.
      touch(found.tokenId, found.lastUsedAt).catch((error: unknown) => {
        log.info("token.touch_failed", { tokenId: found.tokenId, error: messageOf(error) });
      });
      return found.account;
    },

    async ensureBootstrap() {
      const id = randomUUID() as AccountId;
      const first: Account = { id, email: "admin@localhost", name: "admin", role: "admin" };
      await store.add({ ...first, bootstrap: true, createdAt: clock.now() });
      return bootstrapAccount();
    },

    async issueBootstrapToken(name) {
      const account = await bootstrapAccount();
      return (await issueToken(account.id, name)).token;
    },

    async create(fields) {
      const account: Account = { id: randomUUID() as AccountId, ...fields };
      if (!(await store.add({ ...account, bootstrap: false, createdAt: clock.now() })))
        throw new AppError("validation_failed", `email: there is an account with ${fields.email}`);
      return account;
    },

    issueToken,
    tokens: (accountId) => store.tokens(accountId),

    async revokeToken(accountId, tokenId, { clientAddress = null }) {
      const revoked = isUuid(tokenId) ? await store.deleteToken(accountId, tokenId as TokenId) : null;
      if (!revoked) throw new AppError("token_not_found", `there is no access token ${tokenId} in this account`);
      const data = { token_id: tokenId, prefix: revoked.prefix };
      audit.note({ action: "token_revoked", accountId, target: revoked.name, clientAddress, data });
    },
  };
}

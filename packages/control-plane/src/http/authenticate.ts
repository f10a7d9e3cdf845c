import { AppError } from "@mags/core";
import type { Account } from "../app/account-store.ts";
import type { Accounts } from "../app/accounts.ts";

/**
 * The account behind an `Authorization` header.
 * @throws AppError `unauthenticated` when there is none, or its token is not valid.
 */
export async function authenticate(accounts: Accounts, authorization: string | undefined): Promise<Account> {
  if (authorization === undefined)
    throw new AppError("unauthenticated", "no access token: send the header Authorization: Bearer <token>");
  const [, token] = /^bearer +(\S+)$/i.exec(authorization.trim()) ?? [];
  if (token === undefined)
    throw new AppError("unauthenticated", "the Authorization header is not of the form: Bearer <token>");
  const account = await accounts.authenticate(token);
  if (!account)
    throw new AppError(
      "unauthenticated",
      "the access token is not valid: it was mistyped, revoked, or is another server's",
    );
  return account;
}

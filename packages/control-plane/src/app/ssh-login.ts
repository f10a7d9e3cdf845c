/** Who a key and a user name stand for, decided from what is known of both. */
import { type AccountId, isUuid, NAME_PATTERN, type SshSignIn, type SshUser } from "@mags/domain";
import type { Presence, SshTarget } from "./ssh-access-store.ts";
import type { SshKeyHolder } from "./ssh-key-store.ts";

/** Whom clients are in a guest, and may always sign in as where key or port say which. */
export const SSH_USER = "root";

/** `name`, or `name+account`: names have no plus sign, addresses may. */
export interface SshLogin {
  /** Of a job or workspace, or an id; empty: it can be none of these. */
  readonly target: string;
  /** Name, e-mail address or id; null: whichever it is. */
  readonly account: string | null;
}

export interface SignInFacts {
  readonly attempt: SshSignIn;
  readonly login: SshLogin;
  /** The port is no gateway's own: it is, or was, that of one sandbox. */
  readonly isJobPort: boolean;
  /** Whose own key it is. */
  readonly ofKey: SshTarget | null;
  /** Whose port it is. */
  readonly ofPort: SshTarget | null;
  /** Accounts that the key is on. */
  readonly holders: readonly SshKeyHolder[];
  /** Those of them that have what the login names. */
  readonly withTarget: ReadonlyMap<AccountId, Presence>;
}

export function parseLogin(login: string): SshLogin {
  const plus = login.indexOf("+");
  const target = plus < 0 ? login : login.slice(0, plus);
  const isPossible = isUuid(target) || NAME_PATTERN.test(target);
  return { target: isPossible ? target : "", account: plus < 0 ? null : login.slice(plus + 1) };
}

/** Null: nobody. */
export function sshUserOf(facts: SignInFacts): SshUser | null {
  return byJobKey(facts) ?? (facts.isJobPort ? onJobPort(facts) : onSharedPort(facts));
}

function byJobKey({ attempt, login, isJobPort, ofKey, ofPort }: SignInFacts): SshUser | null {
  if (!ofKey) return null;
  const isMeant = isJobPort
    ? ofPort?.sandboxId === ofKey.sandboxId
    : login.account === null && isNamed(ofKey, login.target);
  return isMeant ? userOf(attempt, ofKey, `key of job ${ofKey.jobName}`) : null;
}

function onJobPort({ attempt, login, ofPort, holders }: SignInFacts): SshUser | null {
  const holder = holders.find(({ accountId }) => accountId === ofPort?.accountId);
  if (!ofPort || !holder || !isAccount(holder, login.account) || !isNamed(ofPort, login.target)) return null;
  return userOf(attempt, ofPort, holder.name);
}

function onSharedPort({ attempt, login: { target, account }, holders, withTarget }: SignInFacts): SshUser | null {
  const possible = holders.filter((holder) => withTarget.has(holder.accountId) && isAccount(holder, account));
  // What is over takes the name from nobody; it is told of where that is all there is.
  const there = possible.filter(({ accountId }) => withTarget.get(accountId) === "there");
  const meant = there.length > 0 ? there : possible;
  const [first, ...others] = meant;
  if (!first) return null;
  const logins = meant.map(({ accountEmail }) => `${target}+${accountEmail}`).join(", ");
  return {
    ...{ accountId: first.accountId, keyName: first.name, fingerprint: attempt.key.fingerprint, target, jobId: null },
    refusal:
      others.length === 0
        ? null
        : `${target} is in more than one account that your key is on: sign in as one of ${logins}`,
  };
}

function userOf(attempt: SshSignIn, target: SshTarget, keyName: string): SshUser {
  return {
    ...{ accountId: target.accountId, keyName, fingerprint: attempt.key.fingerprint },
    ...{ target: target.workspaceId ?? target.jobName, jobId: target.jobId, refusal: null },
  };
}

function isNamed({ jobName, workspaceId, jobId }: SshTarget, name: string): boolean {
  return [SSH_USER, jobName, workspaceId, jobId].includes(name);
}

function isAccount(holder: SshKeyHolder, account: string | null): boolean {
  return account === null || [holder.accountName, holder.accountEmail, holder.accountId].includes(account);
}

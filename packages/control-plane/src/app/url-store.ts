import type { AccountId, JobId, SandboxId } from "@mags/domain";

/** A live sandbox whose persistent job lives, as URLs lead to it. */
export interface UrlTarget {
  readonly sandboxId: SandboxId;
  readonly accountId: AccountId;
  /** The one whose sandbox it is now. */
  readonly jobId: JobId;
  readonly state: "starting" | "running" | "sleeping";
  /** Null: none was asked for. */
  readonly port: number | null;
  readonly isPrivate: boolean;
  /** Since when it has been awake; null: it is not. */
  readonly awakeSince: Date | null;
}

/** What an alias leads to. */
export interface AliasTarget {
  readonly workspaceId: string;
  /** Null: no job of it lives. */
  readonly target: UrlTarget | null;
}

export interface UrlAlias {
  readonly id: string;
  readonly accountId: AccountId;
  readonly domain: string;
  readonly subdomain: string;
  readonly workspaceId: string;
  readonly createdAt: Date;
}

/** Names of sandboxes in addresses. Calls may be repeated; see `JobStore` on the database's absence. */
export interface UrlStore {
  /** By the name that it was given. */
  bySubdomain(subdomain: string): Promise<UrlTarget | null>;
  byAlias(name: { readonly domain: string; readonly subdomain: string }): Promise<AliasTarget | null>;
  /** What its URLs lead to from now on. @returns false: it has ended. */
  setPort(sandboxId: SandboxId, port: number): Promise<boolean>;
  /** Makes it, or has one of the account lead there. @returns what is there then, which may be another account's */
  putAlias(
    alias: UrlAlias & { /** Else one that is there stays as it is. */ readonly replaces: boolean },
  ): Promise<UrlAlias>;
  aliases(accountId: AccountId): Promise<readonly UrlAlias[]>;
  /** @returns false: the account has none of that name */
  removeAlias(accountId: AccountId, name: { readonly domain: string; readonly subdomain: string }): Promise<boolean>;
}

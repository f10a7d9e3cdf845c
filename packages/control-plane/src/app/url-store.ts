import type { AccountId, GuestId, SandboxId } from "@mags/domain";

/** A live sandbox whose persistent job lives, as URLs lead to it. */
export interface UrlTarget {
  readonly sandboxId: SandboxId;
  readonly accountId: AccountId;
  /** Null: none was asked for. */
  readonly port: number | null;
  readonly isPrivate: boolean;
  /** Since when it has been awake; null: it is not. */
  readonly awakeSince: Date | null;
}

/** What an alias leads to. */
export interface AliasTarget {
  /** Null: no job of it lives. */
  readonly target: UrlTarget | null;
}

export interface AliasName {
  readonly domain: string;
  readonly subdomain: string;
}

export interface UrlAlias extends AliasName {
  readonly id: string;
  readonly accountId: AccountId;
  readonly workspaceId: string;
  readonly createdAt: Date;
  readonly updatedAt: Date;
}

export interface UrlLink {
  readonly id: string;
  readonly sandboxId: SandboxId;
  readonly port: number;
  readonly createdAt: Date;
  readonly expiresAt: Date;
  readonly revokedAt: Date | null;
}

/** Names of sandboxes in addresses. Calls may be repeated; see `JobStore` on the database's absence. */
export interface UrlStore {
  /** By the name that it was given. */
  bySubdomain(subdomain: string): Promise<UrlTarget | null>;
  byAlias(name: AliasName): Promise<AliasTarget | null>;
  /**
   * Which of them are names of that guest, whether or not it lives: that which it was given, in that domain, when access
   * to a port was ever asked for, or an alias of its workspace. @returns their ordinals
   */
  named(
    asked: readonly (AliasName & { readonly guest: GuestId; readonly ordinal: number })[],
    options: { readonly domain: string },
  ): Promise<ReadonlySet<number>>;
  /** What its URLs lead to from now on, and whether they are private; null: as before. @returns null: it has ended */
  setAccess(
    sandboxId: SandboxId,
    access: { readonly port: number | null; readonly isPrivate: boolean | null },
  ): Promise<{ readonly port: number | null; readonly isPrivate: boolean } | null>;

  /**
   * Has an alias lead to a synced workspace of its account, or a sandbox of it that lives.
   * @returns what is there then: that, or one that was there before; `too_many`: neither, the account has `most` already
   */
  addAlias(alias: UrlAlias, options: { readonly most: number }): Promise<UrlAlias | "too_many" | "no_workspace">;
  /** As above. @returns `no_alias`: the account has none of that name */
  moveAlias(
    accountId: AccountId,
    name: AliasName,
    to: { readonly workspaceId: string; readonly at: Date },
  ): Promise<UrlAlias | "no_workspace" | "no_alias">;
  /** By domain and subdomain. */
  aliases(accountId: AccountId): Promise<readonly UrlAlias[]>;
  /** @returns false: the account has none of that name */
  removeAlias(accountId: AccountId, name: AliasName): Promise<boolean>;

  /**
   * Of those that were revoked the newest `most` stay.
   * @returns false: the sandbox has `most` already that were neither revoked nor have expired
   */
  addLink(link: UrlLink, options: { readonly most: number }): Promise<boolean>;
  /** Those that have not expired, oldest first. */
  links(sandboxId: SandboxId, options: { readonly now: Date }): Promise<readonly UrlLink[]>;
  /** @returns false: the sandbox has none of that id */
  revokeLink(sandboxId: SandboxId, id: string, at: Date): Promise<boolean>;
  /** Of all sandboxes: they open nothing any more, whatever is known of them. */
  removeExpiredLinks(now: Date): Promise<void>;
  /** It was made here, and not revoked. */
  linkStands(id: string): Promise<boolean>;
}

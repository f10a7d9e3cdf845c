/** Addresses of workspaces that stay. */
import { randomUUID } from "node:crypto";
import { AppError } from "@mags/core";
import type { AccountId } from "@mags/domain";
import type { AuditLog } from "./audit-log.ts";
import { checkedDomain, checkedLabel, type UrlName, type UrlNames, urlOf } from "./url-names.ts";
import type { UrlAlias, UrlStore } from "./url-store.ts";

export interface AliasAsked {
  readonly accountId: AccountId;
  readonly subdomain: string;
  /** Undefined: that of this installation. */
  readonly domain: string | undefined;
  readonly clientAddress: string;
}

export interface UrlAliases {
  list(accountId: AccountId): Promise<readonly UrlAlias[]>;
  /** @throws AppError `validation_failed`, `forbidden`, `workspace_not_found`, `alias_exists` */
  create(asked: AliasAsked & { readonly workspaceId: string }): Promise<UrlAlias>;
  /** At once: no request finds nothing in between. @throws AppError `alias_not_found`, `workspace_not_found` */
  move(asked: AliasAsked & { readonly workspaceId: string }): Promise<UrlAlias>;
  /** @throws AppError `alias_not_found` */
  remove(asked: AliasAsked): Promise<void>;
}

export interface UrlAliasesDeps {
  readonly store: Pick<UrlStore, "aliases" | "addAlias" | "moveAlias" | "removeAlias">;
  readonly names: UrlNames;
  /** Whether a name in another domain than this installation's is the account's to give. @throws AppError `forbidden` with what shows it */
  readonly checkOwn: (accountId: AccountId, name: UrlName) => Promise<void>;
  readonly audit: Pick<AuditLog, "note">;
  readonly clock: { now(): Date };
}

const MOST_ALIASES = 1_000;

export function createUrlAliases({ store, names, checkOwn, audit, clock }: UrlAliasesDeps): UrlAliases {
  const nameOf = ({ subdomain, domain }: AliasAsked) => ({
    subdomain: checkedLabel(subdomain),
    domain: checkedDomain(domain, names),
  });
  const notFound = ({ subdomain }: AliasAsked) =>
    new AppError("alias_not_found", `there is no alias ${JSON.stringify(subdomain)} of yours`);
  const noWorkspace = (workspaceId: string) =>
    new AppError(
      "workspace_not_found",
      `there is no workspace ${JSON.stringify(workspaceId)}, and no sandbox of that name: make it first, as with mags new`,
    );

  return {
    list: store.aliases,

    async create(asked) {
      const name = nameOf(asked);
      const { accountId, workspaceId, clientAddress } = asked;
      if (name.domain !== names.domain) await checkOwn(accountId, { label: name.subdomain, domain: name.domain });
      const at = clock.now();
      const alias = { id: randomUUID(), accountId, ...name, workspaceId, createdAt: at, updatedAt: at };
      const there = await store.addAlias(alias, { most: MOST_ALIASES });
      if (there === "no_workspace") throw noWorkspace(workspaceId);
      if (there === "too_many")
        throw new AppError("validation_failed", `an account has at most ${MOST_ALIASES} aliases: remove one before`);
      if (there.id !== alias.id) {
        const whose = there.accountId === accountId ? ` and leads to ${there.workspaceId}` : "";
        throw new AppError("alias_exists", `the alias ${name.subdomain}.${name.domain} already exists${whose}`);
      }
      const target = urlOf({ label: name.subdomain, domain: name.domain }, names);
      audit.note({ action: "alias_created", accountId, target, clientAddress, data: { workspace: workspaceId } });
      return there;
    },

    async move(asked) {
      const name = nameOf(asked);
      const { accountId, workspaceId, clientAddress } = asked;
      const moved = await store.moveAlias(accountId, name, { workspaceId, at: clock.now() });
      if (moved === "no_workspace") throw noWorkspace(workspaceId);
      if (moved === "no_alias") throw notFound(asked);
      const target = urlOf({ label: name.subdomain, domain: name.domain }, names);
      audit.note({ action: "alias_moved", accountId, target, clientAddress, data: { workspace: workspaceId } });
      return moved;
    },

    async remove(asked) {
      const { accountId, clientAddress } = asked;
      const name = nameOf(asked);
      if (!(await store.removeAlias(accountId, name))) throw notFound(asked);
      const target = urlOf({ label: name.subdomain, domain: name.domain }, names);
      audit.note({ action: "alias_removed", accountId, target, clientAddress, data: {} });
    },
  };
}

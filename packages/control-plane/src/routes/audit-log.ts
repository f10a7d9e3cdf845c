import { type auditLogs, ROUTES } from "@mags/api-schema";
import { AppError } from "@mags/core";
import type { z } from "zod";
import type { AuditRecord } from "../app/audit-store.ts";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function auditLogRoute({ auditStore }: RouteDeps): BoundRoute {
  return bind(ROUTES.auditLog, async ({ query, account }) => {
    const { after = null, action = null, limit, all } = query;
    const isAdmin = account.role === "admin";
    if (all && !isAdmin) throw new AppError("forbidden", "all: only admins may read the log of other accounts");
    const of = all ? "all" : isAdmin ? [account.id, null] : [account.id];
    const records = await auditStore.list({ of, action, after, limit });
    return { entries: records.map(toWire) };
  });
}

function toWire(record: AuditRecord): z.infer<typeof auditLogs.AuditEntry> {
  return {
    id: record.id,
    at: record.at.toISOString(),
    action: record.action,
    account_id: record.accountId,
    account_email: record.accountEmail,
    target: record.target,
    client_address: record.clientAddress,
    data: record.data,
  };
}

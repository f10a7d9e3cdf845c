import { AUDIT_ACTIONS } from "@mags/domain";
import { z } from "zod";
import { flag } from "./flag.ts";
import { route } from "./route.ts";

export const AuditEntry = z
  .object({
    id: z.int().describe("Rises with each entry."),
    at: z.iso.datetime(),
    action: z.string(),
    account_id: z.uuid().nullable().describe("Null: nobody had signed in."),
    account_email: z.string().nullable(),
    target: z.string().nullable().describe("What it was done to: the name of a VM, a key, a token."),
    client_address: z.string().nullable().describe("Null: on the server's machine, or several."),
    data: z.record(z.string(), z.union([z.string(), z.number(), z.boolean(), z.null()])),
  })
  .meta({ id: "AuditEntry" });

export const auditLog = route({
  method: "GET",
  path: "/audit-log",
  summary: "What was done with the account: sign-ins by SSH, keys, tokens",
  description:
    "Oldest first. Without `after` the last entries; with it the first ones behind that. Entries appear within a second, and are kept for `audit.keep_days`. Of an admin also those of nobody: sign-ins that were refused.",
  auth: "account",
  query: z.object({
    after: z.coerce.number().int().nonnegative().optional().describe("Id of an entry; 0: from the first."),
    limit: z.coerce.number().int().min(1).max(1_000).default(100),
    action: z.enum(AUDIT_ACTIONS).optional(),
    all: flag.describe("For admins: entries of all accounts."),
  }),
  responses: { 200: z.object({ entries: z.array(AuditEntry) }).meta({ id: "AuditLog" }) },
  errors: [403],
});

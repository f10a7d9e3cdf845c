/** The URLs of web servers in VMs: names that stay, who may see what is private, and what was asked for. */
import { z } from "zod";
import { Done, JobParams } from "./jobs.ts";
import { route } from "./route.ts";
import { text } from "./text.ts";

const Port = z.int().min(1).max(65_535);

const Subdomain = text()
  .min(1)
  .max(63)
  .describe("1 to 63 lower-case letters, digits and dashes, neither first nor last a dash.");

const AliasDomain = text()
  .min(1)
  .max(253)
  .optional()
  .describe(
    "Default: that of the server's URLs, for which its configured synonyms stand, too. Another: a domain of your own.",
  );

export const UrlAlias = z
  .object({
    id: z.uuid(),
    subdomain: z.string(),
    domain: z.string(),
    url: z.string().describe("The address that works at this server."),
    workspace_id: z.string(),
    created_at: z.iso.datetime(),
    updated_at: z.iso.datetime().describe("When it was last told where to lead."),
    certificate: z
      .object({
        expires_at: z.iso.datetime().nullable().describe("Null: there is none yet."),
        problem: z.string().nullable().describe("Why the last try to have one failed; it is tried again."),
      })
      .optional()
      .describe("Where the server asks a certificate authority for it."),
  })
  .meta({ id: "UrlAlias" });

const AliasParams = z.object({ subdomain: z.string() });

export const listUrlAliases = route({
  method: "GET",
  path: "/mags-url-aliases",
  summary: "List the aliases of the account",
  auth: "account",
  responses: { 200: z.object({ aliases: z.array(UrlAlias), total: z.int() }).meta({ id: "UrlAliases" }) },
  errors: [],
});

export const createUrlAlias = route({
  method: "POST",
  path: "/mags-url-aliases",
  summary: "Give a workspace an address that stays",
  description:
    "It leads to whichever persistent job the workspace has, whose VM a request wakes. 409: the name is taken. 403: the domain is not known to be yours; the message says which DNS record proves it. 404: there is no such workspace, and no VM of that name.",
  auth: "account",
  body: z
    .object({ subdomain: Subdomain, workspace_id: text().min(1).max(255), domain: AliasDomain })
    .meta({ id: "CreateUrlAlias" }),
  responses: { 201: UrlAlias },
  errors: [403, 404, 409],
});

export const moveUrlAlias = route({
  method: "PUT",
  path: "/mags-url-aliases/{subdomain}",
  summary: "Lead an alias elsewhere, at once",
  description: "No request finds nothing in between. 404: the account has no such alias, or no such workspace.",
  auth: "account",
  params: AliasParams,
  body: z.object({ workspace_id: text().min(1).max(255), domain: AliasDomain }).meta({ id: "MoveUrlAlias" }),
  responses: { 200: UrlAlias },
  errors: [404],
});

export const deleteUrlAlias = route({
  method: "DELETE",
  path: "/mags-url-aliases/{subdomain}",
  summary: "Remove an alias",
  auth: "account",
  params: AliasParams,
  query: z.object({ domain: AliasDomain }),
  responses: { 200: Done },
  errors: [404],
});

export const UrlLink = z
  .object({
    id: z.uuid(),
    port: Port.describe("It opens the URL only while that leads to this port."),
    created_at: z.iso.datetime(),
    expires_at: z.iso.datetime(),
    revoked_at: z.iso.datetime().nullable(),
  })
  .meta({ id: "UrlLink" });

const MOST_LINK_SECONDS = 30 * 86_400;

export const createUrlLink = route({
  method: "POST",
  path: "/mags-jobs/{id}/url-links",
  summary: "Make a link that opens the private URL of a job",
  description:
    "A browser that follows it keeps what opens the URL in a cookie. Programs send `token` in the header `mags-access`. It can be shown only now. 409: the job has no URL; ask for access first.",
  auth: "account",
  params: JobParams,
  body: z
    .object({
      port: Port.optional().describe("Default: that of the URL."),
      expires_in_seconds: z.int().min(1).max(MOST_LINK_SECONDS).default(86_400),
    })
    .prefault({})
    .meta({ id: "CreateUrlLink" }),
  responses: {
    201: UrlLink.extend({ url: z.string(), token: z.string() }).meta({ id: "NewUrlLink" }),
  },
  errors: [404, 409],
});

export const listUrlLinks = route({
  method: "GET",
  path: "/mags-jobs/{id}/url-links",
  summary: "List the links of a job that have not expired",
  description: "Of those that were revoked the newest 1 000.",
  auth: "account",
  params: JobParams,
  responses: { 200: z.object({ links: z.array(UrlLink), total: z.int() }).meta({ id: "UrlLinks" }) },
  errors: [404],
});

export const revokeUrlLink = route({
  method: "DELETE",
  path: "/mags-jobs/{id}/url-links/{link_id}",
  summary: "Revoke a link, and the cookies of those who have followed it",
  description: "Within a second. What is open by then goes on.",
  auth: "account",
  params: JobParams.extend({ link_id: z.string() }),
  responses: { 200: Done },
  errors: [404],
});

export const UrlAccess = z
  .object({
    id: z.int().describe("Rises with each entry."),
    at: z.iso.datetime().describe("When it came."),
    host: z.string(),
    client_address: z.string(),
    method: z.string(),
    path: z.string().describe("Without what follows `?`, at most 512 characters."),
    status: z.int().describe("Of the answer. 101: a WebSocket; 499: the client left before there was one."),
    duration_ms: z.number().describe("Until the answer had been sent whole, or the WebSocket was over."),
    bytes_in: z.int().describe("Of the body, or of the WebSocket."),
    bytes_out: z.int(),
  })
  .meta({ id: "UrlAccess" });

export const UrlCounters = z
  .object({
    requests: z.int(),
    bytes_in: z.int(),
    bytes_out: z.int(),
    by_status: z.record(z.string(), z.int()).describe("`2xx` and the like to requests that were answered so."),
    duration_ms_sum: z.number(),
    duration_ms_buckets: z
      .array(z.object({ le: z.number().nullable(), requests: z.int() }))
      .describe("Requests that took at most `le` ms, of those above the bucket before; null: all others."),
  })
  .meta({ id: "UrlCounters" });

export const urlTraffic = route({
  method: "GET",
  path: "/mags-jobs/{id}/url-traffic",
  summary: "What was asked of the URLs of a job",
  description:
    "Entries oldest first, without `after` the last ones. They appear within some seconds, and the newest 10 000 of a VM are kept for `urls.log_keep_days`. The counters are of what was asked of the VM in the last 367 days.",
  auth: "account",
  params: JobParams,
  query: z.object({
    after: z.coerce.number().int().nonnegative().optional().describe("Id of an entry; 0: from the first."),
    limit: z.coerce.number().int().min(1).max(1_000).default(100),
  }),
  responses: {
    200: z.object({ counters: UrlCounters, entries: z.array(UrlAccess) }).meta({ id: "UrlTraffic" }),
  },
  errors: [404],
});

export type UrlAliasWire = z.infer<typeof UrlAlias>;
export type UrlLinkWire = z.infer<typeof UrlLink>;
export type UrlAccessWire = z.infer<typeof UrlAccess>;
export type UrlCountersWire = z.infer<typeof UrlCounters>;

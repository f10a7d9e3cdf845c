/** The part of the configuration that says how the web servers of VMs are reached. */
import { isIP } from "node:net";
import { z } from "zod";

const NAME = /^(?=.{1,253}$)[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?(?:\.[a-z0-9](?:[a-z0-9-]{0,61}[a-z0-9])?)*$/;
const Name = z.string().regex(NAME, "must be the name of a domain, in lower case");
const File = z.string().regex(/^\//, "must be an absolute path");
const Port = z.int().min(0).max(65_535);
const Host = z.string().default("127.0.0.1");
const EVERY = "`0.0.0.0`, or `::` for both protocols: every address of the host.";

const Cidr = z.string().refine(isCidr, "must be a network as 10.0.0.0/8 or 2001:db8::/32");

export const UrlConfig = z
  .strictObject({
    enabled: z.boolean().default(true).describe("Whether web servers in VMs are reached by URLs."),
    listen: z
      .strictObject({
        host: Host.describe(`Address of URLs. ${EVERY}`),
        port: Port.default(7780).describe(
          "Its port: of HTTP, or with `tls` or `acme` of HTTPS. 0: any free port; `magsd status` tells which.",
        ),
      })
      .prefault({}),
    domain: Name.default("localhost").describe(
      "Addresses are names below it. All of them must lead to the address above; those below `localhost` do so by themselves, on this machine.",
    ),
    synonyms: z
      .array(Name)
      .default(["apps.magpiecloud.com", "app.lfg.run", "apps.mags.run"])
      .describe("Domains that clients may name for aliases in its place, as those of the hosted service do."),
    public: z
      .strictObject({
        scheme: z
          .enum(["http", "https"])
          .optional()
          .describe("What clients are told, where they reach a proxy or an edge. Default: what it listens for."),
        port: z
          .int()
          .min(1)
          .max(65_535)
          .optional()
          .describe("The port that clients are told. Default: the one it listens on."),
      })
      .prefault({}),
    tls: z
      .strictObject({
        certificates: z
          .array(
            z.strictObject({
              certificate_file: File.describe("PEM: the certificate, then those that it leads to."),
              key_file: File.describe("PEM: its private key."),
            }),
          )
          .min(1)
          .describe(
            "A client is shown the one of the name it asks for, else the first. Files that change are read anew.",
          ),
      })
      .nullable()
      .default(null)
      .describe("Certificates of your own, as one of `*.<domain>`. null: none."),
    plain: z
      .strictObject({
        host: Host.describe(`Address of HTTP beside HTTPS. ${EVERY}`),
        port: Port.default(80).describe("Its port. 0: any free port; `magsd status` tells which."),
      })
      .nullable()
      .default(null)
      .describe("Sends clients to HTTPS, and answers whoever checks for a certificate. null: nothing listens there."),
    acme: z
      .strictObject({
        directory_url: z
          .url({ protocol: /^https?$/ })
          .describe("Of who gives certificates, as `https://acme-v02.api.letsencrypt.org/directory`."),
        email: z.email().optional().describe("Where that writes to."),
        terms_agreed: z.literal(true).describe("You agree to its terms of service."),
      })
      .nullable()
      .default(null)
      .describe(
        "Certificates for aliases are asked for, and renewed, by the protocol ACME. Needs `plain`, reached at port 80 of these names. null: none.",
      ),
    own_domains: z
      .strictObject({
        allowed: z.array(Name).default([]).describe("Domains that every account may have aliases in, and below."),
        dns: z
          .boolean()
          .default(true)
          .describe("Whether an account may have aliases in others that a DNS record says are its."),
        dns_servers: z
          .array(z.string().min(1))
          .optional()
          .describe("Addresses of the servers that are asked for such records. Default: those of the host."),
      })
      .prefault({}),
    trusted_proxies: z
      .array(Cidr)
      .default([])
      .describe("Networks of proxies of yours in front: what they say of their clients is passed on to VMs."),
    log_keep_days: z.int().min(1).max(3_650).default(7).describe("How long entries of access logs are kept."),
    limits: z
      .strictObject({
        connections: count(10_000, 1_000_000, "Connections of clients at a time."),
        header_kb: count(32, 256, "Of the head of a request."),
        head_seconds: count(30, 3_600, "For the head of a request to come, and for TLS to be agreed on."),
        silent_seconds: count(
          300,
          86_400,
          "A connection on which nothing passes is closed after so long, unless it is a WebSocket.",
        ),
        wake_seconds: count(60, 300, "For a VM to wake, and its server to listen; then the answer is 504."),
        answer_seconds: count(120, 86_400, "For the head of a VM's answer; then the answer is 504."),
      })
      .prefault({}),
  })
  .superRefine(({ tls, acme, plain, limits }, context) => {
    const wrong = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    if (plain && !tls && !acme) wrong(["plain"], "is for HTTP beside HTTPS: set tls or acme, or listen there");
    if (limits.answer_seconds >= limits.silent_seconds)
      wrong(["limits", "answer_seconds"], "must be less than silent_seconds, after which clients are given up");
    if (acme && !plain) wrong(["plain"], "must be set for acme: names are checked there");
  });

function count(usual: number, most: number, description: string) {
  return z.int().min(1).max(most).default(usual).describe(description);
}

export type UrlConfig = Readonly<z.infer<typeof UrlConfig>>;

function isCidr(text: string): boolean {
  const [address = "", length = "", ...more] = text.split("/");
  const most = { 0: -1, 4: 32, 6: 128 }[isIP(address)] ?? -1;
  return more.length === 0 && /^\d{1,3}$/.test(length) && Number(length) <= most;
}

export const hasTls = ({ tls, acme }: UrlConfig): boolean => tls !== null || acme !== null;

/** What clients are told, where it listens on that port. */
export function publicPlaceOf(
  config: UrlConfig,
  port: number,
): { readonly scheme: "http" | "https"; readonly port: number } {
  const { scheme = hasTls(config) ? "https" : "http", port: told = port } = config.public;
  return { scheme, port: told };
}

/** Configuration of the server: one JSON file, every default here, unknown keys refused. */
import { readFile } from "node:fs/promises";
import type { QueueLimits, SandboxDefaults } from "@mags/control-plane";
import { AppError, messageOf, Secret } from "@mags/core";
import { NodeConfig } from "@mags/node";
import { z } from "zod";
import { EdgesConfig, UpstreamConfig } from "./edge-config.ts";
import { ObjectStoreConfig } from "./object-store-config.ts";
import { isJobPort, isSameAddress, SshConfig } from "./ssh-config.ts";
import { UrlConfig } from "./url-config.ts";

/** Where clients look that know no other address. */
const DEFAULT_LISTEN = { host: "127.0.0.1", port: 7777 };
export const DEFAULT_API_URL = `http://${DEFAULT_LISTEN.host}:${DEFAULT_LISTEN.port}`;

/** User of the embedded PostgreSQL. The runtime root names it in its /etc/passwd: initdb looks itself up there. */
export const POSTGRES_UID = 1_910_000_000;
/** User of the gateway. */
export const GATEWAY_UID = 1_910_000_001;

const AbsolutePath = z.string().regex(/^\/[^,:]*$/, "must be an absolute path without commas and colons");

const ServerKeys = z.strictObject({
  data_dir: AbsolutePath.regex(
    /^(\/(?!\.\.?(\/|$))[^/]+){2,}\/?$/,
    "must be a directory of its own, at least two levels deep and without '..': magsd uninstall deletes it",
  )
    .max(40, "must be at most 40 characters: sockets lie below it")
    .default("/var/lib/mags")
    .describe("Database, VMs, templates, output of jobs."),
  role: z
    .enum(["all", "edge"])
    .default("all")
    .describe(
      "`edge`: only the gateway of SSH and URLs, for a server elsewhere (`upstream`). Of the other keys it takes `data_dir`, `ssh`, `urls`, `public_url` and `log_level`.",
    ),
  artifacts: AbsolutePath.default("/opt/mags/artifacts.json").describe(
    "What the installation brings: runtime root, kernel, images.",
  ),
  listen: z
    .strictObject({
      host: z
        .string()
        .default(DEFAULT_LISTEN.host)
        .describe("Address of the API. Loopback unless you put TLS in front of it."),
      port: z
        .int()
        .min(0)
        .max(65_535)
        .default(DEFAULT_LISTEN.port)
        .describe("0: any free port; `magsd status` tells which."),
    })
    .prefault({}),
  ssh: SshConfig.prefault({}),
  urls: UrlConfig.prefault({}),
  edges: EdgesConfig.nullable().default(null).describe("Edges that run apart and connect to this server. null: none."),
  upstream: UpstreamConfig.nullable().default(null).describe("The server, for role `edge`."),
  public_url: z
    .url()
    .optional()
    .describe("Where clients reach the API, which is the name that they add SSH keys for. Default: the address above."),
  cors_origins: z.array(z.url()).default([]).describe("Web origins that may call the API."),
  database: z
    .strictObject({
      url: z
        .string()
        .regex(/^postgres(ql)?:\/\//, "must be a postgres:// address")
        .optional()
        .transform((url) => (url === undefined ? undefined : new Secret(url)))
        .describe("An external PostgreSQL, 15 or newer. Default: an embedded one."),
    })
    .prefault({}),
  sealing_key_file: AbsolutePath.optional().describe(
    "The key that secrets in the database are sealed with, where several servers share one: it has to be there, and nobody but its owner may read it. Default: `<data_dir>/sealing.key`, made by the first start. Keep a copy: without it the host key for SSH is lost.",
  ),
  object_store: ObjectStoreConfig.prefault({}),
  log_level: z
    .enum(["debug", "info", "warn", "error"])
    .default("info")
    .describe("Least level of the lines in `<data_dir>/magsd.log`."),
  limits: z
    .strictObject({
      account: z
        .strictObject({
          vms: limit(
            0,
            "Jobs of one account that may have a VM at a time; the VM of one that has just ended may still be going.",
          ),
          vcpus: limit(0, "Processors of all these VMs together."),
          memory_mb: limit(0, "Memory of all these VMs together."),
          disk_gb: limit(0, "Disks of all these VMs together."),
          queued_jobs: limit(1_000, "Jobs of one account that may wait for a VM; beyond that the API answers 429."),
          upload_mb: limit(10_000, "Uploads of one account that are kept, together; beyond that the API answers 413."),
        })
        .prefault({}),
      queued_jobs: limit(10_000, "Jobs of all accounts that may wait for a VM; beyond that the API answers 503."),
      queue_seconds: z
        .int()
        .min(1)
        .max(31_536_000)
        .default(600)
        .describe("A job that got no VM for so long ends in error."),
    })
    .prefault({}),
  sandboxes: z
    .strictObject({
      idle_minutes: z
        .int()
        .min(1)
        .max(525_600)
        .default(10)
        .describe(
          "The VM of a persistent job sleeps when nothing was done in it for so long, unless the job says else.",
        ),
    })
    .prefault({}),
  workspaces: z
    .strictObject({
      warm_seconds: z
        .int()
        .min(1)
        .max(31_536_000)
        .default(300)
        .describe("How long the VM of a workspace without a persistent job stays after its last job, with its files."),
    })
    .prefault({}),
  audit: z
    .strictObject({
      keep_days: z.int().min(1).max(36_500).default(90).describe("How long entries of the audit log are kept."),
    })
    .prefault({}),
  node: NodeConfig.prefault({}),
});

function limit(most: number, description: string) {
  return z.int().min(0).max(1_000_000_000).default(most).describe(`${description} 0: no limit.`);
}

export const ServerConfig = ServerKeys.superRefine(({ database, ssh, urls, node }, context) => {
  const taken: [number, string][] = [];
  if (database.url === undefined) taken.push([POSTGRES_UID, "the embedded database"]);
  if (ssh.enabled || urls.enabled) taken.push([GATEWAY_UID, "the gateway"]);
  for (const [uid, whose] of taken.filter(([uid]) => isVmUid(uid, node)))
    context.addIssue({
      ...{ code: "custom", path: ["node", "uid_base"] },
      message: `must leave out ${uid}, the uid of ${whose}: VMs have one uid per address of node.network.uplink_range`,
    });
})
  .superRefine((config, context) => {
    const { ssh } = config;
    const all = listenedOn(config);
    const wrong = (path: string[], message: string) => context.addIssue({ code: "custom", path, message });
    for (const { key, at } of all)
      if (ssh.enabled && isJobPort(at.port, ssh))
        wrong(key, "must be outside ssh.job_ports, whose ports are given to jobs");
    for (const [index, { key, at }] of all.entries())
      for (const before of all.slice(0, index))
        if (isSameAddress(before.at, at)) wrong(key, `must be another port than ${before.key.join(".")}, ${at.port}`);
  })
  .superRefine(({ role, edges, upstream, ssh, urls }, context) => {
    const wrong = (key: string, message: string) => context.addIssue({ code: "custom", path: [key], message });
    if (role === "edge" && !upstream) wrong("upstream", "must say where the server is, in role edge");
    if (role === "all" && upstream) wrong("upstream", "is for role edge only");
    if (role === "edge" && edges) wrong("edges", "is for role all only");
    if (!ssh.enabled && !urls.enabled && (role === "edge" || edges))
      wrong("ssh", "must be enabled, or urls: edges serve nothing else");
  });

/** What the parts that are enabled listen on, by the keys of the configuration. */
function listenedOn({ role, listen, edges, ssh, urls }: z.infer<typeof ServerKeys>) {
  const places: { readonly key: string[]; readonly at: { readonly host: string; readonly port: number } }[] = [];
  if (role === "all") places.push({ key: ["listen", "port"], at: listen });
  if (edges) places.push({ key: ["edges", "listen", "port"], at: edges.listen });
  if (ssh.enabled) places.push({ key: ["ssh", "listen", "port"], at: ssh.listen });
  if (urls.enabled) places.push({ key: ["urls", "listen", "port"], at: urls.listen });
  if (urls.enabled && urls.plain) places.push({ key: ["urls", "plain", "port"], at: urls.plain });
  return places;
}

/** The node ends what runs as a uid of its VMs and is none of them. */
function isVmUid(uid: number, node: NodeConfig): boolean {
  const [, prefixLength] = node.network.uplink_range.split("/");
  return uid >= node.uid_base && uid <= node.uid_base + 2 ** (32 - Number(prefixLength));
}

export type ServerConfig = Readonly<z.infer<typeof ServerConfig>>;

export function queueLimitsOf({ limits: { account, queued_jobs, queue_seconds } }: ServerConfig): QueueLimits {
  const { vms, vcpus, memory_mb: memoryMiB, disk_gb: diskGiB } = account;
  return {
    account: { vms, vcpus, memoryMiB, diskGiB },
    queuedPerAccount: account.queued_jobs,
    queued: queued_jobs,
    queueMs: queue_seconds * 1000,
  };
}

/** For how long something must be garbage in the object store before it is removed. */
export const graceMsOf = ({ node }: ServerConfig): number => node.garbage_hours * 3_600_000;

export function sandboxDefaultsOf({ sandboxes, workspaces }: ServerConfig): SandboxDefaults {
  return { idleMinutes: sandboxes.idle_minutes, warmMs: workspaces.warm_seconds * 1000 };
}

export const DEFAULT_CONFIG_FILE = "/etc/mags/magsd.json";

/** @throws AppError `validation_failed` that names the file, the keys and what is wrong with them. */
export function parseConfig(text: string, path: string): ServerConfig {
  let json: unknown;
  try {
    json = JSON.parse(text);
  } catch (error) {
    throw new AppError("validation_failed", `${path} is not JSON: ${messageOf(error)}`);
  }
  const result = ServerConfig.safeParse(json);
  if (result.success) return Object.freeze(result.data);
  const lines = result.error.issues.map((issue) => `  ${issue.path.join(".") || "(the whole file)"}: ${issue.message}`);
  throw new AppError("validation_failed", `${path} is not a valid configuration:\n${lines.join("\n")}`);
}

/** The configuration in `path`, or all defaults when the default file does not exist. */
export async function loadConfig(path: string): Promise<ServerConfig> {
  try {
    return parseConfig(await readFile(path, "utf8"), path);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "ENOENT") throw error;
    if (path === DEFAULT_CONFIG_FILE) return parseConfig("{}", path);
    throw new AppError("validation_failed", `there is no configuration file ${path}`);
  }
}

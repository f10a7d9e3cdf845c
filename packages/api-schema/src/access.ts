/** How what listens in a VM is reached from outside. */
import { z } from "zod";
import { JobParams } from "./jobs.ts";
import { route } from "./route.ts";

/** The port by which SSH is asked for. */
export const SSH_PORT = 22 as const;

export const EnableAccess = z
  .object({
    port: z
      .int()
      .min(1)
      .max(65_535)
      .default(8080)
      .describe("Port in the VM. 22: SSH, which needs no server in the VM. Another: what the URL of the job leads to."),
    private: z
      .boolean()
      .optional()
      .describe("For a URL: whether only links open it. Default: as it was, at first public."),
  })
  .prefault({})
  .meta({ id: "EnableAccess" });

const HostKey = z.string().describe("Type and key, as in a line of `known_hosts`: `ssh-ed25519 AAAA…`.");
const Fingerprint = z.string().describe("Of the host key: `SHA256:…`, as ssh shows it.");

export const SshAccess = z
  .object({
    success: z.literal(true),
    port: z.literal(SSH_PORT),
    ssh_host: z.string(),
    ssh_port: z.int().describe("Of this job alone, or that of all jobs: the key tells which is meant."),
    ssh_user: z.string(),
    ssh_private_key: z
      .string()
      .describe("Ed25519, in OpenSSH's format. The same each time; it ends with the VM and its disk."),
    ssh_host_key: HostKey,
    ssh_host_fingerprint: Fingerprint,
  })
  .meta({ id: "SshAccess" });

export const HttpAccess = z
  .object({
    success: z.literal(true),
    port: z.int(),
    url: z.string(),
    subdomain: z.string(),
    private: z.boolean(),
  })
  .meta({ id: "HttpAccess" });

export const SshService = z
  .object({
    enabled: z.boolean().describe("`false`: this server takes no SSH connections, and the rest is `null`."),
    host: z.string().nullable(),
    port: z.int().nullable().describe("Of all jobs: the user name says which is meant."),
    host_key: HostKey.nullable(),
    fingerprint: Fingerprint.nullable(),
  })
  .meta({ id: "SshService" });

export const enableAccess = route({
  method: "POST",
  path: "/mags-jobs/{id}/access",
  summary: "Reach the VM of a persistent job from outside",
  description:
    "Answers when the VM runs; one that sleeps is woken. Port 22: with all that an SSH client needs. Another port: with the URL, which leads there from now on, and to no port of before. Calls may be repeated. 400 for a job that is not persistent, and where SSH, or URLs, are off.",
  auth: "account",
  params: JobParams,
  body: EnableAccess,
  responses: { 200: z.union([SshAccess, HttpAccess]).meta({ id: "Access" }) },
  errors: [404, 409],
});

export const sshService = route({
  method: "GET",
  path: "/ssh",
  summary: "Where SSH connections are taken, and the host key",
  auth: "account",
  responses: { 200: SshService },
  errors: [],
});

/** The part of the configuration that says how SSH is served. */
import { hostname } from "node:os";
import { z } from "zod";

/** Gateways have none of root's rights when they get to know of them. */
const JobPort = z.int().min(1_024, "must not be below 1024: gateways may not listen there").max(65_535);
const EVERY_ADDRESS = ["0.0.0.0", "::"];

export const SshConfig = z.strictObject({
  enabled: z.boolean().default(true).describe("Whether VMs are reached by SSH."),
  listen: z
    .strictObject({
      host: z
        .string()
        .default("127.0.0.1")
        .describe(
          "Address of SSH, for all its ports. `0.0.0.0`, or `::` for both protocols: every address of the host.",
        ),
      port: z
        .int()
        .min(0)
        .max(65_535)
        .default(2222)
        .describe("Port of all jobs. 0: any free port; `magsd status` tells which."),
    })
    .prefault({}),
  public_host: z
    .string()
    .regex(/^[A-Za-z0-9.:-]{1,253}$/, "must be the name or address of a host")
    .optional()
    .describe("The host that clients are told. Default: that of public_url, else the address above."),
  replace_lost_host_key: z
    .boolean()
    .default(false)
    .describe(
      "Makes another host key where the one that is there cannot be opened, as the sealing key is lost: every client will say that it changed.",
    ),
  job_ports: z
    .strictObject({
      from: JobPort.default(40_000).describe("The first."),
      to: JobPort.default(49_999).describe("The last."),
    })
    .refine(({ from, to }) => from <= to, { path: ["to"], message: "must not be below `from`" })
    .nullable()
    .prefault({})
    .describe("Ports that are one job's each. null: no job has a port of its own."),
  limits: z
    .strictObject({
      sign_in_seconds: count(30, 3_600, "A client that has not signed in after so long is given up."),
      attempts: count(6, 100, "Keys that a client may try."),
      channels: count(64, 1_000, "Sessions and forwarded connections of one connection at a time."),
      channels_per_account: count(
        1_000,
        100_000,
        "Sessions, forwarded connections and what listens in VMs (`-R`, and `-A` in each session), of one account at a time.",
      ),
      connections: count(1_000, 100_000, "Connections at a time."),
      connections_per_account: count(
        200,
        100_000,
        "Connections of one account at a time, of those; a further one is refused when it signs in.",
      ),
      strangers_per_address: count(
        20,
        100_000,
        "Connections of one address, of a /64 network for IPv6, that have not signed in; more are closed.",
      ),
      keep_alive_seconds: count(
        30,
        86_400,
        "A silent client is asked so often whether it is there, and given up when it does not answer four times.",
      ),
    })
    .prefault({}),
});

function count(usual: number, most: number, description: string) {
  return z.int().min(1).max(most).default(usual).describe(description);
}

export type SshConfig = Readonly<z.infer<typeof SshConfig>>;

/** Whether a port of all jobs, or of the API, could be given to one. */
export function isJobPort(port: number, { job_ports: range }: SshConfig): boolean {
  return range !== null && port >= range.from && port <= range.to;
}

interface Address {
  readonly host: string;
  readonly port: number;
}

/** Whether only one can listen. Port 0 is another one each time. Names other than `localhost` are not looked up. */
export function isSameAddress(one: Address, other: Address): boolean {
  if (one.port !== other.port || one.port === 0) return false;
  const [ofOne, ofOther] = [plainHosts(one.host), plainHosts(other.host)];
  return ofOne.some((a) => ofOther.some((b) => covers(a, b) || covers(b, a)));
}

/** Addresses as the kernel takes them: of IPv4 as such also where they are written as IPv6. */
function plainHosts(host: string): readonly string[] {
  const name = host.toLowerCase().replace(/^::ffff:(?=\d+\.)/, "");
  return name === "localhost" ? ["127.0.0.1", "::1"] : [name];
}

/** `::` is all of both protocols. */
function covers(all: string, host: string): boolean {
  return all === host || all === "::" || (all === "0.0.0.0" && !host.includes(":"));
}

/** What clients are told. */
export function publicSshHost({ listen, public_host }: SshConfig, publicUrl: string | undefined): string {
  if (public_host !== undefined) return public_host;
  if (publicUrl !== undefined) return new URL(publicUrl).hostname.replace(/^\[|\]$/g, "");
  return EVERY_ADDRESS.includes(listen.host) ? hostname() : listen.host;
}

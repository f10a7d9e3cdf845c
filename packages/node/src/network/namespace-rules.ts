/** Reads and changes the rules of namespaces in use: the policy, the addresses an allow-list led to, what was denied. */
import type { EgressPolicy } from "@mags/domain";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { z } from "zod";
import { run } from "../host/run.ts";
import {
  allowance,
  DENIALS_SET,
  DENIED_COUNTER,
  OVER_LIMIT_COUNTER,
  policyReplacement,
  TABLE,
  TOO_FAST_COUNTER,
} from "./ruleset.ts";

/** Where guests were refused, and how often. */
export interface Denial {
  /** `address:port/protocol`, `address/protocol`, or a host name that was not looked up. */
  readonly destination: string;
  readonly count: number;
}

export interface NamespaceRulesEditor {
  /** In force, in one step, when this resolves. */
  setPolicy(index: number, policy: EgressPolicy): Promise<void>;
  /** @param seconds  How long, from now on. */
  allow(index: number, addresses: readonly string[], seconds: number): Promise<void>;
  /** How many packets were refused since the namespace was made, by destination; those beyond the first 128 together. */
  denials(index: number): Promise<Denial[]>;
}

const IP = "/usr/sbin/ip";
const NFT = "/usr/sbin/nft";
/** Stands for a protocol without ports. */
const NO_PORT = 0;

/** What connections are that no rule but a cap refused. */
const CAPS: Readonly<Record<string, string>> = {
  [OVER_LIMIT_COUNTER]: "connections beyond the limit at a time",
  [TOO_FAST_COUNTER]: "connections beyond the limit a second",
};

/** Of denials that are not told apart. */
export const OTHER_DESTINATIONS = "other destinations";

const DeniedDestination = z.object({
  elem: z.object({
    val: z.object({ concat: z.tuple([z.string(), z.union([z.string(), z.number()]), z.number()]) }),
    counter: z.object({ packets: z.number() }),
  }),
});
const Listing = z.object({
  nftables: z.array(
    z.object({
      set: z.object({ elem: z.array(DeniedDestination).default([]) }).optional(),
      counter: z.object({ name: z.string(), packets: z.number() }).optional(),
    }),
  ),
});

/** The command that runs `program` of the runtime root in a namespace. */
export function inNamespace(runtime: RuntimeRoot, name: string, program: string, args: readonly string[]) {
  const inner = toolCommand(runtime, program, args);
  return toolCommand(runtime, IP, ["netns", "exec", name, inner.file, ...inner.args]);
}

export function createNamespaceRulesEditor(
  runtime: RuntimeRoot,
  config: { readonly prefix: string; readonly dnsAddress: string },
): NamespaceRulesEditor {
  const { dnsAddress } = config;
  const nft = (index: number, args: readonly string[], input?: string) =>
    run(inNamespace(runtime, `${config.prefix}-${index}`, NFT, args), input === undefined ? {} : { input });

  return {
    async setPolicy(index, policy) {
      await nft(index, ["-f", "-"], policyReplacement(policy, { dnsAddress }));
    },
    async allow(index, addresses, seconds) {
      if (addresses.length > 0) await nft(index, ["-f", "-"], allowance(addresses, seconds));
    },
    async denials(index) {
      const questions = `list set ip ${TABLE} ${DENIALS_SET}\nlist counters table ip ${TABLE}\n`;
      return parseDenials(await nft(index, ["-j", "-f", "-"], questions), { dnsAddress });
    },
  };
}

/** @param listings  What `nft -j` says of the set of denials and of the counters of caps: a line of JSON each. */
export function parseDenials(listings: string, { dnsAddress }: { readonly dnsAddress: string }): Denial[] {
  const lines = listings.split("\n").filter((line) => line !== "");
  const items = lines.flatMap((line) => Listing.parse(JSON.parse(line)).nftables);
  const byRule = items
    .flatMap(({ set }) => set?.elem ?? [])
    .map(({ elem }) => {
      const [address, protocol, port] = elem.val.concat;
      const host = address === dnsAddress ? "name service" : address;
      const destination = port === NO_PORT ? `${host}/${protocol}` : `${host}:${port}/${protocol}`;
      return { destination, count: elem.counter.packets };
    });
  const packetsOf = (name: string) => items.find(({ counter }) => counter?.name === name)?.counter?.packets ?? 0;
  const rest = packetsOf(DENIED_COUNTER) - byRule.reduce((sum, { count }) => sum + count, 0);
  // A scan has so many destinations that what comes after them may never be told.
  return [
    ...Object.entries(CAPS).map(([name, destination]) => ({ destination, count: packetsOf(name) })),
    ...byRule,
    { destination: OTHER_DESTINATIONS, count: rest },
  ].filter(({ count }) => count > 0);
}

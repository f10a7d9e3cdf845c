/** Reads and changes the rules of namespaces in use: the policy, the addresses an allow-list led to, what was denied. */
import type { EgressPolicy } from "@mags/domain";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { z } from "zod";
import { run } from "../host/run.ts";
import { allowance, DENIALS_SET, policyReplacement, TABLE } from "./ruleset.ts";

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
  /** What packets were refused since the namespace was made, by destination. Those beyond the first 128 are not told apart. */
  denials(index: number): Promise<Denial[]>;
}

const IP = "/usr/sbin/ip";
const NFT = "/usr/sbin/nft";
/** Stands for a protocol without ports. */
const NO_PORT = 0;

const SetListing = z.object({
  nftables: z.array(
    z.object({
      set: z
        .object({
          elem: z
            .array(
              z.object({
                elem: z.object({
                  val: z.object({ concat: z.tuple([z.string(), z.union([z.string(), z.number()]), z.number()]) }),
                  counter: z.object({ packets: z.number() }),
                }),
              }),
            )
            .default([]),
        })
        .optional(),
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
      const listing = await nft(index, ["-j", "list", "set", "ip", TABLE, DENIALS_SET]);
      return parseDenials(listing, { dnsAddress });
    },
  };
}

/** @param listing  What `nft -j list set` says of the set of denials. */
export function parseDenials(listing: string, { dnsAddress }: { readonly dnsAddress: string }): Denial[] {
  const { nftables } = SetListing.parse(JSON.parse(listing));
  const elements = nftables.flatMap(({ set }) => set?.elem ?? []);
  return elements.map(({ elem }) => {
    const [address, protocol, port] = elem.val.concat;
    const host = address === dnsAddress ? "name service" : address;
    return {
      destination: port === NO_PORT ? `${host}/${protocol}` : `${host}:${port}/${protocol}`,
      count: elem.counter.packets,
    };
  });
}

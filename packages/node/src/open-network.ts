/** Wires the network of a node: namespaces, egress policies and the name service of guests. */
import { join } from "node:path";
import type { Clock, Logger } from "@mags/core";
import type { RuntimeRoot } from "@mags/runtime-root";
import type { NodeConfig } from "./config.ts";
import type { FoundRecord } from "./microvm/record.ts";
import { parseCidr } from "./network/addresses.ts";
import { type DnsForwarder, startDnsForwarder } from "./network/dns-forwarder.ts";
import { createEgress, type Egress } from "./network/egress.ts";
import { createNamespaceRulesEditor } from "./network/namespace-rules.ts";
import {
  hostNameServers,
  type NetworkConfig,
  type NetworkManager,
  networkCapacity,
  openNetworkManager,
} from "./network/network-manager.ts";

export interface NodeNetwork {
  readonly manager: NetworkManager;
  readonly egress: Egress;
  /** Most microVMs that there are addresses for. */
  readonly capacity: number;
  /**
   * Begins to answer guests. Not before the policies of those that are found are known: whose policy is not, would have
   * none.
   */
  startNameService(found: readonly FoundRecord[]): Promise<DnsForwarder>;
}

export interface NetworkPlace {
  readonly dataDirectory: string;
  readonly bootId: string;
}

export function networkConfigOf(config: NodeConfig["network"], place: NetworkPlace): NetworkConfig {
  return {
    prefix: config.prefix,
    uplinkRange: parseCidr(config.uplink_range),
    exceptions: config.exceptions,
    denied: config.denied,
    caps: {
      bandwidthMbit: config.bandwidth_mbit,
      maxConnections: config.max_connections,
      newConnectionsPerSecond: config.new_connections_per_second,
    },
    forwardingRecord: join(place.dataDirectory, "forwarding-turned-on"),
    bootId: place.bootId,
  };
}

/** Of many queries in a second only one looks again: the host's resolver may change. */
const NAME_SERVERS_KEPT_MS = 1_000;

export async function openNetwork(
  deps: { readonly runtime: RuntimeRoot; readonly clock: Clock; readonly log: Logger },
  config: NodeConfig["network"],
  place: NetworkPlace,
): Promise<NodeNetwork> {
  const { runtime, clock, log } = deps;
  const networkConfig = networkConfigOf(config, place);
  const manager = await openNetworkManager({ runtime, log }, networkConfig);
  const { dnsAddress } = manager;
  const egress = createEgress({
    rules: createNamespaceRulesEditor(runtime, { prefix: config.prefix, dnsAddress }),
    clock,
  });
  let known: { readonly servers: Promise<string[]>; readonly untilMs: number } | undefined;
  function ofTheHost(): Promise<string[]> {
    const now = clock.monotonicMs();
    if (!known || known.untilMs < now) known = { servers: hostNameServers(), untilMs: now + NAME_SERVERS_KEPT_MS };
    return known.servers;
  }
  return {
    manager,
    egress,
    capacity: networkCapacity(networkConfig.uplinkRange),
    startNameService(found) {
      for (const { record, binding } of found) if (binding) egress.restore(record.index, binding.size.egress);
      const forwarder = {
        address: dnsAddress,
        servers: async () => (config.name_servers.length > 0 ? config.name_servers : ofTheHost()),
        rulesOf: (guest: string) => egress.dnsRules(manager.indexOf(guest)),
      };
      return startDnsForwarder({ log }, forwarder);
    },
  };
}

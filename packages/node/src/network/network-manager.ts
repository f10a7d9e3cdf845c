/**
 * Owns the network namespaces of microVMs and the host's side of their links. One namespace per microVM: a tap for its
 * QEMU, a link to the host, rules of its own. Everything carries the installation's prefix in its name, so that what a
 * previous process left can be found and removed.
 */
import { existsSync } from "node:fs";
import { readdir, readFile, rm, writeFile } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { AppError, type Logger, messageOf } from "@mags/core";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { run } from "../host/run.ts";
import { addressIn, type Cidr, formatAddress, GUEST_NETWORK, parseAddress, UPLINK } from "./addresses.ts";
import { hostRuleset, namespaceRuleset } from "./ruleset.ts";

export interface NetworkConfig {
  /** At most 7 letters and digits: begins the names of interfaces, which have 15 characters at most. */
  readonly prefix: string;
  /** One address per microVM and one for the DNS forwarder. */
  readonly uplinkRange: Cidr;
  readonly exceptions: readonly string[];
  /** Ranges that are denied beside those that always are. */
  readonly denied: readonly string[];
  readonly caps: NetworkCaps;
  /** File that holds the boot in which forwarding was turned on here, so that `removeHostSide` can turn it off again. */
  readonly forwardingRecord: string;
  readonly bootId: string;
}

/** What one microVM may take of the host's network. */
export interface NetworkCaps {
  /** In each direction; 0: no cap. */
  readonly bandwidthMbit: number;
  /** At a time, UDP flows among them. */
  readonly maxConnections: number;
  readonly newConnectionsPerSecond: number;
}

export interface MicroVmNetwork {
  readonly index: number;
  /** Path of the namespace. */
  readonly namespace: string;
  readonly tap: string;
}

export interface NetworkManager {
  /** Where the DNS forwarder listens, on the host. */
  readonly dnsAddress: string;
  /** The number of the microVM whose queries and connections come from an address of the uplink range. */
  indexOf(address: string): number;
  /** Makes the namespace with this number, from 1. What stood there before is replaced. */
  create(index: number): Promise<MicroVmNetwork>;
  /** Removes it; one that does not exist is no error. */
  remove(index: number): Promise<void>;
  /** Numbers of the namespaces and links that exist. */
  list(): Promise<number[]>;
  /** Removes the host's side as well: rules, DNS address, forwarding if it was off before. For the end of an installation. */
  removeHostSide(): Promise<void>;
}

const IP = "/usr/sbin/ip";
const NFT = "/usr/sbin/nft";
const TC = "/usr/sbin/tc";
export const CONNTRACK = "/usr/sbin/conntrack";
const CONNTRACK_MAX = "/proc/sys/net/netfilter/nf_conntrack_max";
/** As many as a rule can count to. */
const MOST_CONNECTIONS = 2 ** 32 - 1;
export const NAMESPACES = "/run/netns";
const IP_FORWARD = "/proc/sys/net/ipv4/ip_forward";

export function describeNetwork(prefix: string, index: number): MicroVmNetwork {
  return { index, namespace: `${NAMESPACES}/${prefix}-${index}`, tap: "tap0" };
}

/** A token bucket that lets bursts of 10 ms through; packets wait at most 50 ms, then they are dropped. */
export function shaper(bandwidthMbit: number): readonly string[] {
  const burstBytes = Math.max(128 * 1024, Math.round((bandwidthMbit * 1e6) / 8 / 100));
  return ["tbf", "rate", `${bandwidthMbit}mbit`, "burst", String(burstBytes), "latency", "50ms"];
}

/** Most microVMs that a range has addresses for. */
export function networkCapacity(range: Cidr): number {
  return 2 ** (32 - range.prefixLength) - 3;
}

export async function openNetworkManager(
  deps: { readonly runtime: RuntimeRoot; readonly log: Logger },
  config: NetworkConfig,
): Promise<NetworkManager> {
  const { runtime, log } = deps;
  const { prefix, uplinkRange, exceptions, denied, caps } = config;
  const dnsAddress = addressIn(uplinkRange, 1);
  const range = `${formatAddress(uplinkRange.base)}/${uplinkRange.prefixLength}`;
  const ip = (args: readonly string[], input?: string) =>
    run(toolCommand(runtime, IP, args), input === undefined ? {} : { input });
  const uplinkAddress = (index: number) => addressIn(uplinkRange, index + 1);
  const uplinkName = (index: number) => `${prefix}-${index}`;

  async function prepareHost(): Promise<void> {
    if ((await readFile(IP_FORWARD, "utf8")).trim() === "0") {
      await writeFile(config.forwardingRecord, config.bootId);
      await writeFile(IP_FORWARD, "1");
    }
    await ip(["addr", "replace", `${dnsAddress}/32`, "dev", "lo"]);
    // Where the kernel has not loaded its memory of connections yet, the first rules that need it do.
    if (!existsSync(CONNTRACK_MAX)) await loadHostRules(MOST_CONNECTIONS);
    await loadHostRules(await guestsShareOfConnections());
  }

  async function loadHostRules(maxConnections: number): Promise<void> {
    const input = hostRuleset({
      ...{ table: prefix, interfacePrefix: `${prefix}-`, uplinkRange: range, dnsAddress, exceptions },
      maxConnections,
    });
    try {
      await run(toolCommand(runtime, NFT, ["-f", "-"]), { input });
    } catch (cause) {
      if (!(await isReserved(prefix))) throw cause;
      const text = `node.network.prefix: "${prefix}" is a word of the packet filter's own; take another prefix`;
      throw new AppError("validation_failed", text, { cause });
    }
  }

  /** nft has words of its own, such as tcp, which are no names; more with each version. */
  const isReserved = (name: string) =>
    run(toolCommand(runtime, NFT, ["--check", `add table ip ${name}`])).then(
      () => false,
      (error: unknown) => messageOf(error).includes("syntax error"),
    );

  /** The host would remember the connections of a guest that is gone for days, in a table that all share. */
  async function forgetConnections(index: number): Promise<void> {
    try {
      await run(toolCommand(runtime, CONNTRACK, ["-D", "-s", uplinkAddress(index)]));
    } catch (error) {
      if (!messageOf(error).includes("0 flow entries"))
        log.warn("network.connections_kept", { index, error: messageOf(error) });
    }
  }

  await prepareHost();
  log.info("network.ready", { dnsAddress, uplinkRange: range, exceptions });

  const manager: NetworkManager = {
    dnsAddress,
    indexOf: (address) => parseAddress(address) - uplinkRange.base - 1,

    async create(index) {
      const network = describeNetwork(prefix, index);
      const name = `${prefix}-${index}`;
      const uplink = uplinkName(index);
      const { guestAddress, gatewayAddress, prefixLength, guestMac, gatewayMac } = GUEST_NETWORK;
      await manager.remove(index);
      await ip(
        ["-batch", "-"],
        [
          `netns add ${name}`,
          `link add ${uplink} address ${UPLINK.hostMac} type veth peer name up0 address ${UPLINK.namespaceMac} netns ${name}`,
          `link set ${uplink} up`,
          `route add ${uplinkAddress(index)}/32 dev ${uplink}`,
          `neigh replace ${uplinkAddress(index)} lladdr ${UPLINK.namespaceMac} dev ${uplink} nud permanent`,
        ].join("\n"),
      );
      await ip(
        ["-n", name, "-batch", "-"],
        [
          "link set lo up",
          `tuntap add ${network.tap} mode tap vnet_hdr`,
          `link set ${network.tap} address ${gatewayMac} mtu ${GUEST_NETWORK.mtu}`,
          `addr add ${gatewayAddress}/${prefixLength} dev ${network.tap}`,
          `link set ${network.tap} up`,
          `neigh replace ${guestAddress} lladdr ${guestMac} dev ${network.tap} nud permanent`,
          `addr add ${uplinkAddress(index)}/32 dev up0`,
          "link set up0 up",
          `route add ${UPLINK.nextHop}/32 dev up0`,
          `route add default via ${UPLINK.nextHop} dev up0`,
          `neigh replace ${UPLINK.nextHop} lladdr ${UPLINK.hostMac} dev up0 nud permanent`,
        ].join("\n"),
      );
      if (caps.bandwidthMbit > 0) {
        const shape = shaper(caps.bandwidthMbit).join(" ");
        await run(toolCommand(runtime, TC, ["-n", name, "-batch", "-"]), {
          input: [network.tap, "up0"].map((link) => `qdisc add dev ${link} root ${shape}`).join("\n"),
        });
      }
      const nft = toolCommand(runtime, NFT, ["-f", "-"]);
      const script =
        'echo 1 > /proc/sys/net/ipv4/ip_forward; echo 1 > /proc/sys/net/ipv6/conf/all/disable_ipv6; exec "$@"';
      await run(
        toolCommand(runtime, IP, ["netns", "exec", name, "/bin/sh", "-c", script, "sh", nft.file, ...nft.args]),
        { input: namespaceRuleset({ dnsAddress, hostAddresses: hostAddresses(), exceptions, denied, ...caps }) },
      );
      return network;
    },

    async remove(index) {
      const existed = (await namespaceNames()).includes(`${prefix}-${index}`);
      if (existed) await ip(["netns", "del", `${prefix}-${index}`]);
      const links = await linkNames();
      if (links.includes(uplinkName(index))) await ip(["link", "del", uplinkName(index)]).catch(() => {}); // went with its peer
      if (existed) await forgetConnections(index);
    },

    async list() {
      const pattern = new RegExp(`^${prefix}-(\\d+)$`);
      const names = [...(await namespaceNames()), ...(await linkNames())];
      return [...new Set(names.flatMap((name) => pattern.exec(name)?.[1] ?? []))].map(Number);
    },

    async removeHostSide() {
      const turnedOnIn = await readFile(config.forwardingRecord, "utf8").catch(() => "");
      if (turnedOnIn === config.bootId) await writeFile(IP_FORWARD, "0");
      await rm(config.forwardingRecord, { force: true });
      await ip(["addr", "del", `${dnsAddress}/32`, "dev", "lo"]).catch(() => {});
      await run(toolCommand(runtime, NFT, ["delete", "table", "ip", prefix])).catch(() => {});
    },
  };
  return manager;
}

/** Half of what the host can remember: guests never take the other half from the host. */
async function guestsShareOfConnections(): Promise<number> {
  return Math.floor(Number((await readFile(CONNTRACK_MAX, "latin1")).trim()) / 2);
}

/** The directory does not exist before the first namespace of a machine is made. */
async function namespaceNames(): Promise<string[]> {
  return readdir(NAMESPACES).catch(() => []);
}

/** Of this process's network namespace, which /sys need not show. */
export async function linkNames(): Promise<string[]> {
  const table = await readFile("/proc/net/dev", "utf8");
  return [...table.matchAll(/^\s*([^\s:]+):/gm)].flatMap((match) => match[1] ?? []);
}

/** IPv4 addresses of the host that are not loopback: denied to guests even when they are public. */
function hostAddresses(): string[] {
  return Object.values(networkInterfaces())
    .flatMap((list) => list ?? [])
    .filter((address) => address.family === "IPv4" && !address.internal)
    .map((address) => address.address);
}

/** Name servers the host itself uses. */
export async function hostNameServers(path = "/etc/resolv.conf"): Promise<string[]> {
  const text = await readFile(path, "utf8").catch(() => "");
  return [...text.matchAll(/^nameserver\s+(\S+)/gm)].flatMap((match) => match[1] ?? []);
}

/** What a node needs of the host's network. */
import { access, constants } from "node:fs/promises";
import { networkInterfaces } from "node:os";
import { toolCommand } from "@mags/runtime-root";
import { formatAddress, parseCidr } from "../network/addresses.ts";
import { inNamespace } from "../network/namespace-rules.ts";
import { CONNTRACK, hostNameServers, NAMESPACES, shaper } from "../network/network-manager.ts";
import { namespaceRuleset } from "../network/ruleset.ts";
import { type Check, type CheckContext, fail, installedRuntime, ok, REINSTALL, type Verdict, warn } from "./check.ts";
import { abandonedChecks, newCheckName } from "./check-leftovers.ts";
import { run } from "./run.ts";

export const NETWORK_CHECKS: readonly Check[] = [
  {
    name: "tap devices",
    look: tapDevices,
    cure: "load the tun module: modprobe tun; in a container, pass the device /dev/net/tun",
  },
  {
    name: "network namespaces and nftables",
    look: namespaces,
    cure: "use a kernel with network namespaces, nf_tables, NAT, conntrack and its control (nf_conntrack_netlink), connection limits (nft_connlimit) and sch_tbf, and run with all privileges (not in an unprivileged container)",
  },
  { name: "addresses for VMs", look: addresses, cure: "set node.network.uplink_range" },
  { name: "forwarding by other firewalls", look: forwarding, cure: REINSTALL },
  { name: "name servers", look: nameServers, cure: "" },
];

async function tapDevices(): Promise<Verdict> {
  await access("/dev/net/tun", constants.R_OK | constants.W_OK);
  return ok("/dev/net/tun");
}

async function namespaces({ config, artifacts }: CheckContext): Promise<Verdict> {
  const runtime = installedRuntime(artifacts);
  const name = newCheckName();
  const ip = (args: string[]) => run(toolCommand(runtime, "/usr/sbin/ip", args));
  for (const left of await abandonedChecks(NAMESPACES)) await ip(["netns", "del", left]);
  await ip(["netns", "add", name]);
  try {
    const { network } = config;
    await run(inNamespace(runtime, name, "/usr/sbin/nft", ["-f", "-"]), {
      input: namespaceRuleset({
        ...{ dnsAddress: "192.0.2.1", hostAddresses: [], exceptions: network.exceptions, denied: network.denied },
        ...{ maxConnections: network.max_connections, newConnectionsPerSecond: network.new_connections_per_second },
      }),
    });
    if (network.bandwidth_mbit > 0)
      await run(
        inNamespace(runtime, name, "/usr/sbin/tc", [
          "qdisc",
          "add",
          "dev",
          "lo",
          "root",
          ...shaper(network.bandwidth_mbit),
        ]),
      );
    await run(inNamespace(runtime, name, CONNTRACK, ["-L"]));
  } finally {
    await ip(["netns", "del", name]);
  }
  return ok("made one with the rules and the shaping of a VM, and removed it");
}

async function addresses({ config }: CheckContext): Promise<Verdict> {
  const range = parseCidr(config.network.uplink_range);
  const last = range.base + 2 ** (32 - range.prefixLength);
  const clash = Object.entries(networkInterfaces())
    .filter(([name]) => !name.startsWith(config.network.prefix))
    .flatMap(([name, list]) =>
      (list ?? []).map((entry) => ({ name, address: entry.address, v4: entry.family === "IPv4" })),
    )
    .find(({ name, address, v4 }) => {
      if (!v4) return false;
      const value = parseCidr(`${address}/32`).base;
      // Our own server's: that of its DNS forwarder.
      if (name === "lo" && value === range.base + 1) return false;
      return value >= range.base && value < last;
    });
  const text = `${formatAddress(range.base)}/${range.prefixLength}`;
  if (!clash) return ok(text);
  return fail(
    `${text} is in use: ${clash.name} has ${clash.address}`,
    "set node.network.uplink_range to a free private range",
  );
}

async function forwarding({ config, artifacts }: CheckContext): Promise<Verdict> {
  const rules = await run(toolCommand(installedRuntime(artifacts), "/usr/sbin/nft", ["list", "chains"]));
  if (!/hook forward [^}]*policy drop/s.test(rules)) return ok("no other table drops forwarded packets by default");
  return warn(
    "a table of this host drops forwarded packets by default (Docker and firewalls do)",
    `let traffic from and to interfaces ${config.network.prefix}* pass there`,
  );
}

async function nameServers({ config }: CheckContext): Promise<Verdict> {
  const servers = config.network.name_servers.length > 0 ? config.network.name_servers : await hostNameServers();
  return servers.length > 0
    ? ok(servers.join(", "))
    : fail("none", "name one in /etc/resolv.conf or node.network.name_servers");
}

/** What a node needs of its host, each tried rather than guessed. */
import { access, constants, readFile, rm, statfs } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { messageOf } from "@mags/core";
import { launchCommand, type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { judgeProbe, runProbe } from "../accelerator/probe.ts";
import type { NodeConfig } from "../config.ts";
import { loadArtifacts } from "../images/artifacts.ts";
import { formatAddress, parseCidr } from "../network/addresses.ts";
import { inNamespace } from "../network/namespace-rules.ts";
import { hostNameServers, NAMESPACES, shaper } from "../network/network-manager.ts";
import { namespaceRuleset } from "../network/ruleset.ts";
import { cgroupFolders, openCgroups } from "./cgroups.ts";
import { abandonedChecks, makeCheckDirectory, newCheckName } from "./check-leftovers.ts";
import { hostMemory } from "./memory.ts";
import { run } from "./run.ts";

export interface HostCheck {
  readonly name: string;
  /** `warn`: it works, but not as well as it could. */
  readonly state: "ok" | "warn" | "fail";
  readonly found: string;
  /** What to do, when it is not ok. */
  readonly cure?: string;
}

export interface HostCheckDeps {
  readonly artifactsFile: string;
  readonly dataDirectory: string;
  readonly config: NodeConfig;
}

type Verdict = Omit<HostCheck, "name">;
const ok = (found: string): Verdict => ({ state: "ok", found });
const warn = (found: string, cure: string): Verdict => ({ state: "warn", found, cure });
const fail = (found: string, cure: string): Verdict => ({ state: "fail", found, cure });

const LEAST_FREE_DISK_GIB = 5;
/** A machine of 2 GiB shows less of it. */
const LEAST_MEMORY_MIB = 1_800;

export async function hostChecks({ artifactsFile, dataDirectory, config }: HostCheckDeps): Promise<HostCheck[]> {
  const checks: HostCheck[] = [];
  const check = async (name: string, look: () => Promise<Verdict>, cure: string) => {
    const verdict = await look().catch((error: unknown) => fail(messageOf(error), cure));
    checks.push({ name, ...verdict });
  };
  let runtime: RuntimeRoot | undefined;
  const needRuntime = () => {
    if (!runtime) throw new Error("cannot be tried without the installation");
    return runtime;
  };
  const REINSTALL = "run ./quickstart again";
  for (const left of await abandonedChecks(tmpdir())) await rm(join(tmpdir(), left), { recursive: true, force: true });

  await check(
    "user",
    async () => (process.getuid?.() === 0 ? ok("root") : fail(`uid ${process.getuid?.()}`, "run as root")),
    "run as root",
  );
  await check(
    "processor",
    async () => (process.arch === "x64" ? ok("x86-64") : fail(process.arch, "use an x86-64 machine")),
    "",
  );
  await check(
    "installation",
    async () => {
      const artifacts = await loadArtifacts(artifactsFile);
      runtime = artifacts.runtime;
      return ok(`${artifactsFile}: images ${[...artifacts.images.keys()].join(", ")}`);
    },
    REINSTALL,
  );
  await check(
    "QEMU",
    async () => {
      const uid = config.uid_base;
      const version = await run(
        launchCommand(needRuntime(), {
          program: "/usr/bin/qemu-system-x86_64",
          args: ["--version"],
          binds: [],
          uid,
          gid: uid,
          env: {},
          systemCalls: "qemu",
        }),
      );
      return ok(`${version.split("\n")[0]}, jailed, its system calls filtered`);
    },
    REINSTALL,
  );
  await check(
    "accelerator",
    async () => {
      if (config.accelerator === "tcg")
        return warn("emulation, set by the configuration", "set node.accelerator to auto");
      await using directory = await makeCheckDirectory();
      const verdict = judgeProbe(
        await runProbe({ runtime: needRuntime(), directory: directory.path }, config.uid_base),
      );
      if (verdict.works) return ok(`KVM: ${verdict.reason}`);
      return warn(
        `emulation (TCG), because ${verdict.reason}. Programs run 10 to 30 times slower, and QEMU itself is the first wall around a guest: its makers do not call emulation a security boundary; a guest that breaks QEMU meets the jail around it`,
        "use a machine with hardware virtualization, and let root read and write /dev/kvm",
      );
    },
    REINSTALL,
  );
  await check(
    "tap devices",
    async () => {
      await access("/dev/net/tun", constants.R_OK | constants.W_OK);
      return ok("/dev/net/tun");
    },
    "load the tun module: modprobe tun; in a container, pass the device /dev/net/tun",
  );
  await check(
    "network namespaces and nftables",
    async () => {
      const name = newCheckName();
      const ip = (args: string[]) => run(toolCommand(needRuntime(), "/usr/sbin/ip", args));
      for (const left of await abandonedChecks(NAMESPACES)) await ip(["netns", "del", left]);
      await ip(["netns", "add", name]);
      try {
        const { network } = config;
        await run(inNamespace(needRuntime(), name, "/usr/sbin/nft", ["-f", "-"]), {
          input: namespaceRuleset({
            ...{ dnsAddress: "192.0.2.1", hostAddresses: [], exceptions: network.exceptions, denied: network.denied },
            ...{ maxConnections: network.max_connections, newConnectionsPerSecond: network.new_connections_per_second },
          }),
        });
        if (network.bandwidth_mbit > 0)
          await run(
            inNamespace(needRuntime(), name, "/usr/sbin/tc", [
              "qdisc",
              "add",
              "dev",
              "lo",
              "root",
              ...shaper(network.bandwidth_mbit),
            ]),
          );
      } finally {
        await ip(["netns", "del", name]);
      }
      return ok("made one with the rules and the shaping of a VM, and removed it");
    },
    "use a kernel with network namespaces, nf_tables, NAT, conntrack, connection limits (nft_connlimit) and sch_tbf, and run with all privileges (not in an unprivileged container)",
  );
  await check(
    "addresses for VMs",
    async () => {
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
    },
    "set node.network.uplink_range",
  );
  await check(
    "forwarding by other firewalls",
    async () => {
      const rules = await run(toolCommand(needRuntime(), "/usr/sbin/nft", ["list", "chains"]));
      if (!/hook forward [^}]*policy drop/s.test(rules)) return ok("no other table drops forwarded packets by default");
      return warn(
        "a table of this host drops forwarded packets by default (Docker and firewalls do)",
        `let traffic from and to interfaces ${config.network.prefix}* pass there`,
      );
    },
    REINSTALL,
  );
  await check(
    "name servers",
    async () => {
      const servers = config.network.name_servers.length > 0 ? config.network.name_servers : await hostNameServers();
      return servers.length > 0
        ? ok(servers.join(", "))
        : fail("none", "name one in /etc/resolv.conf or node.network.name_servers");
    },
    "",
  );
  await check(
    "control groups",
    async () => {
      try {
        for (const left of await abandonedCgroups()) await (await openCgroups(left)).removeAll();
        const cgroups = await openCgroups(newCheckName());
        await cgroups.removeAll();
        return ok(`version ${cgroups.version}: memory, cpu, pids`);
      } catch (error) {
        return warn(
          `${messageOf(error)}: nothing bounds what a VM's QEMU takes of the host`,
          "mount the controllers memory, cpu and pids, writable for root",
        );
      }
    },
    "",
  );
  await check(
    "memory",
    async () => {
      const memory = hostMemory();
      const overcommit = (await readFile("/proc/sys/vm/overcommit_memory", "latin1")).trim();
      if (overcommit === "2")
        return fail(
          "vm.overcommit_memory is 2: mapping a template privately would need its whole size at once",
          "sysctl vm.overcommit_memory=0",
        );
      const found = `${memory.availableMiB} of ${memory.totalMiB} MiB available`;
      return memory.totalMiB >= LEAST_MEMORY_MIB
        ? ok(found)
        : warn(found, `use a machine with at least ${LEAST_MEMORY_MIB} MiB`);
    },
    "",
  );
  await check(
    "disk",
    async () => {
      const place = await nearestExisting(dataDirectory);
      const { bavail, bsize } = await statfs(place);
      const freeGiB = (bavail * bsize) / 1024 ** 3;
      const found = `${freeGiB.toFixed(1)} GiB free for ${dataDirectory}`;
      return freeGiB >= LEAST_FREE_DISK_GIB ? ok(found) : warn(found, `free at least ${LEAST_FREE_DISK_GIB} GiB`);
    },
    "",
  );
  return checks;
}

async function abandonedCgroups(): Promise<string[]> {
  const found = await Promise.all((await cgroupFolders()).map(abandonedChecks));
  return [...new Set(found.flat())];
}

async function nearestExisting(path: string): Promise<string> {
  for (let place = path; ; place = dirname(place)) {
    const exists = await access(place).then(
      () => true,
      () => false,
    );
    if (exists || place === "/") return place;
  }
}

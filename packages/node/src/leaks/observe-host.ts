/** Looks for what microVMs have on the host outside of the data directory. */
import { readdir, readFile } from "node:fs/promises";
import { networkInterfaces, tmpdir } from "node:os";
import { join } from "node:path";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import { BLOCKS_GROUP, cgroupFolders, groupOf, KEEPER } from "../host/cgroups.ts";
import { abandonedChecks } from "../host/check-leftovers.ts";
import { processesByUid } from "../host/processes.ts";
import { run } from "../host/run.ts";
import { addressIn, type Cidr, parseCidr } from "../network/addresses.ts";
import { linkNames, NAMESPACES, networkCapacity } from "../network/network-manager.ts";
import type { Owner, Trace } from "./trace.ts";

export interface HostMarks {
  readonly runtime: RuntimeRoot;
  readonly dataDirectory: string;
  /** Begins the names of namespaces, links, tables and control groups. */
  readonly prefix: string;
  readonly uplinkRange: Cidr;
  readonly uidBase: number;
}

const NOBODY: Owner = { kind: "nobody", swept: false };

export async function observeHost(marks: HostMarks): Promise<Trace[]> {
  const looks = [processes, namespaces, links, tables, addresses, controlGroups, mounts, checks];
  return (await Promise.all(looks.map((look) => look(marks)))).flat();
}

async function processes({ uidBase, uplinkRange }: HostMarks): Promise<Trace[]> {
  const traces: Trace[] = [];
  for (const [uid, found] of await processesByUid()) {
    const index = uid - uidBase;
    if (index < 0 || index > networkCapacity(uplinkRange)) continue;
    for (const { pid } of found) {
      const command = (await readFile(`/proc/${pid}/comm`, "utf8").catch(() => "")).trim();
      traces.push({ what: "process", name: `${pid} (${command})`, owner: { kind: "index", index, pid } });
    }
  }
  return traces;
}

/** Names that the installation gives carry a number; others with its prefix are nobody's. */
function numbered(what: string, names: readonly string[], { prefix }: HostMarks): Trace[] {
  return names
    .filter((name) => name.startsWith(`${prefix}-`))
    .map((name) => {
      const number = /^\d+$/.exec(name.slice(prefix.length + 1))?.[0];
      return { what, name, owner: number === undefined ? NOBODY : { kind: "index", index: Number(number) } };
    });
}

async function namespaces(marks: HostMarks): Promise<Trace[]> {
  return numbered("network namespace", await readdir(NAMESPACES).catch(() => []), marks);
}

async function links(marks: HostMarks): Promise<Trace[]> {
  return numbered("network link", await linkNames(), marks);
}

async function tables({ runtime, prefix }: HostMarks): Promise<Trace[]> {
  const text = await run(toolCommand(runtime, "/usr/sbin/nft", ["list", "tables"]));
  return [...text.matchAll(/^table (\S+) (\S+)$/gm)].flatMap(([, family = "", name = ""]): Trace[] => {
    if (name !== prefix && !name.startsWith(`${prefix}-`)) return [];
    const ours = family === "ip" && name === prefix;
    return [{ what: "nftables table", name: `${family} ${name}`, owner: ours ? { kind: "installation" } : NOBODY }];
  });
}

async function addresses({ uplinkRange }: HostMarks): Promise<Trace[]> {
  const last = uplinkRange.base + 2 ** (32 - uplinkRange.prefixLength);
  const isInside = (address: string) => {
    const { base } = parseCidr(`${address}/32`);
    return base >= uplinkRange.base && base < last;
  };
  return Object.entries(networkInterfaces()).flatMap(([link, list = []]) =>
    list
      .filter(({ family, address }) => family === "IPv4" && isInside(address))
      .map(({ address }): Trace => {
        const isForwarder = link === "lo" && address === addressIn(uplinkRange, 1);
        return {
          what: "address",
          name: `${address} on ${link}`,
          owner: isForwarder ? { kind: "installation" } : NOBODY,
        };
      }),
  );
}

async function controlGroups({ prefix }: HostMarks): Promise<Trace[]> {
  const folders = await cgroupFolders();
  const { name } = groupOf(prefix, folders);
  const found = await Promise.all(
    folders.map(async (folder) => {
      const entries = await readdir(join(folder, name), { withFileTypes: true }).catch(() => []);
      return entries.flatMap((entry): Trace[] =>
        entry.isDirectory() && entry.name !== KEEPER
          ? [
              {
                what: "control group",
                name: join(folder, name, entry.name),
                owner: entry.name === BLOCKS_GROUP ? { kind: "installation" } : { kind: "microvm", id: entry.name },
              },
            ]
          : [],
      );
    }),
  );
  return found.flat();
}

/** A node mounts nothing where others see it. */
async function mounts({ dataDirectory }: HostMarks): Promise<Trace[]> {
  const text = await readFile("/proc/self/mounts", "utf8");
  return text.split("\n").flatMap((line): Trace[] => {
    const place = line.split(" ")[1] ?? "";
    return place.startsWith(`${dataDirectory}/`) ? [{ what: "mount", name: place, owner: NOBODY }] : [];
  });
}

/** What `magsd doctor` made and was killed before it removed. The next doctor does. */
async function checks(): Promise<Trace[]> {
  const places = [NAMESPACES, tmpdir(), ...(await cgroupFolders())];
  const found = await Promise.all(
    places.map(async (place) => (await abandonedChecks(place)).map((name) => join(place, name))),
  );
  return found.flat().map((name) => ({ what: "left by magsd doctor, which removes it", name, owner: NOBODY }));
}

/**
 * Parts of an installation that nothing needs any more. A microVM runs from the objects it was started from for as long as
 * its job takes, over any number of upgrades; so an object goes when no release names it and no process has it mounted.
 */
import { existsSync } from "node:fs";
import { readdir, readFile, readlink, realpath, stat } from "node:fs/promises";
import { basename, join } from "node:path";

/** What lies below the folder of the program, and what is in use. */
export interface InstalledParts {
  /** Newest first. */
  readonly releases: readonly { readonly name: string; readonly objects: readonly string[] }[];
  readonly current: string;
  readonly objects: readonly string[];
  /** What an installation that was cut short has left. */
  readonly unfinished: readonly string[];
  readonly releasesInUse: ReadonlySet<string>;
  readonly objectsInUse: ReadonlySet<string>;
}

/** @returns Paths from the folder of the program. The release before the current one stays, as a way back. */
export function unneededParts(parts: InstalledParts): string[] {
  const { releases, current, objects, unfinished, releasesInUse, objectsInUse } = parts;
  const previous = releases.find(({ name }) => name !== current)?.name;
  const needed = releases.filter(({ name }) => name === current || name === previous || releasesInUse.has(name));
  const named = new Set(needed.flatMap((release) => release.objects));
  return [
    ...unfinished,
    ...releases.filter((release) => !needed.includes(release)).map(({ name }) => `releases/${name}`),
    ...objects.filter((name) => !named.has(name) && !objectsInUse.has(name)).map((name) => `objects/${name}`),
  ];
}

export function isInstallation(program: string): boolean {
  return existsSync(join(program, "current"));
}

/**
 * Looks at an installation; nothing where there is none. Rejects when it cannot see all that may be in use.
 * @param held  Directories that are in use though no process shows it.
 */
export async function readInstalledParts(
  program: string,
  held: readonly string[],
): Promise<InstalledParts | undefined> {
  const current = await readlink(join(program, "current")).catch(() => undefined);
  if (current === undefined) return undefined;
  const visible = (name: string) => !name.startsWith(".");
  const [releaseNames, objectNames] = await Promise.all(
    ["releases", "objects"].map((folder) => readdir(join(program, folder)).catch(() => [] as string[])),
  );
  const releases = await Promise.all(
    (releaseNames ?? []).filter(visible).map(async (name) => {
      const folder = join(program, "releases", name);
      // One that cannot be read stops the look: what it names must not count as unneeded.
      const artifacts = await readFile(join(folder, "artifacts.json"), "utf8");
      const objects = [...artifacts.matchAll(/\/objects\/([^/"]+)/g)].flatMap(([, object]) => object ?? []);
      return { name, objects, madeAt: (await stat(folder)).mtimeMs };
    }),
  );
  const hidden = (folder: string, names: readonly string[] = []) =>
    names.filter((name) => !visible(name)).map((name) => `${folder}/${name}`);
  const inUse = await partsInUse(await realpath(program));
  for (const object of held.flatMap((path) => /\/objects\/([^/]+)/.exec(path)?.[1] ?? []))
    inUse.objectsInUse.add(object);
  return {
    releases: releases.toSorted((a, b) => b.madeAt - a.madeAt),
    current: basename(current),
    objects: (objectNames ?? []).filter(visible),
    unfinished: [...hidden("releases", releaseNames), ...hidden("objects", objectNames)],
    ...inUse,
  };
}

/**
 * By the programs of all processes, and by what they have mounted.
 * @param program Without symbolic links, as the kernel names the programs of processes.
 */
async function partsInUse(program: string): Promise<{ releasesInUse: Set<string>; objectsInUse: Set<string> }> {
  const releasesInUse = new Set<string>();
  const objectsInUse = new Set<string>();
  for (const pid of (await readdir("/proc")).filter((name) => /^\d+$/.test(name))) {
    const exe = await readlink(`/proc/${pid}/exe`).catch(unlessGone);
    const [kind, name] = exe.startsWith(`${program}/`) ? exe.slice(program.length + 1).split("/") : [];
    if (kind === "releases" && name) releasesInUse.add(name);
    if (kind === "objects" && name) objectsInUse.add(name);
    for (const object of mountedObjects(await readFile(`/proc/${pid}/mountinfo`, "utf8").catch(unlessGone)))
      objectsInUse.add(object);
  }
  return { releasesInUse, objectsInUse };
}

/**
 * A process that ended, one of the kernel's, or one that root may not look at and that is nobody's here, uses nothing;
 * what else goes wrong must not look like that.
 */
function unlessGone(error: unknown): string {
  if (["ENOENT", "ESRCH", "EINVAL", "EACCES"].includes((error as NodeJS.ErrnoException).code ?? "")) return "";
  throw error;
}

/** @param mountInfo  Text of /proc/PID/mountinfo: the fourth field of a line is what is mounted, below the root of its file system. */
export function mountedObjects(mountInfo: string): string[] {
  return mountInfo.split("\n").flatMap((line) => /\/objects\/([^/]+)/.exec(line.split(" ")[3] ?? "")?.[1] ?? []);
}

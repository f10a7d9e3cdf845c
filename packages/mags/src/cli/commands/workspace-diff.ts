import type { Mags } from "../../sdk/mags.ts";
import type { FileChange, WorkspaceDiff } from "../../sdk/wire.generated.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { bytes, writeTable } from "../format.ts";

export interface DiffFlags {
  readonly all?: boolean;
  readonly json?: boolean;
}

interface Asked extends DiffFlags {
  readonly from: number | undefined;
  readonly to: number | undefined;
}

const PAGE = 10_000;

export async function diffVersions(cli: Cli, name: string, { from, to, all, json }: Asked): Promise<number> {
  const mags = await connect(cli);
  const version = from ?? (await lastButOne(mags, name));
  if (version === undefined) {
    await note(
      cli,
      `${name} has one version only, or none: there is nothing to compare. See: mags workspace versions ${name}`,
    );
    return 0;
  }
  const options = to === undefined ? {} : { with: to };
  const first = await mags.diffWorkspace(name, version, { ...options, ...(all && { limit: PAGE }) });
  const diff = all ? await whole(mags, name, first) : first;
  if (json) {
    await printJson(cli, diff);
    return 0;
  }
  const titles = ["CHANGE", "WHAT", "SIZE", "PATH"].map((title) => cli.styles.stdout.bold(title));
  if (diff.changes.length > 0) await print(cli, writeTable([titles, ...diff.changes.map(rowOf)]));
  const versions = `from version ${diff.version} to ${diff.with}`;
  if (diff.next !== null) await note(cli, `These are the first ${diff.changes.length} changes ${versions}. All: --all`);
  else if (diff.changes.length === 0) await note(cli, `No file changed ${versions}.`);
  return 0;
}

/** Of those that differ: a compaction has the files of the version before it. */
async function lastButOne(mags: Mags, name: string): Promise<number | undefined> {
  const { versions } = await mags.workspaceVersions(name);
  return versions.filter(({ reason }) => reason !== "compaction")[1]?.version;
}

async function whole(mags: Mags, name: string, first: WorkspaceDiff): Promise<WorkspaceDiff> {
  const changes = [...first.changes];
  let { next } = first;
  while (next !== null) {
    const page = await mags.diffWorkspace(name, first.version, { with: first.with, limit: PAGE, after: next });
    for (const change of page.changes) changes.push(change);
    next = page.next;
  }
  return { ...first, changes, next };
}

function rowOf({ path, change, parts, type, size_before, size_after }: FileChange): readonly string[] {
  const [before, after] = [size_before, size_after].map((size) => (size === null ? undefined : bytes(size)));
  const sizes = before === after ? [before] : [before, after];
  const size = sizes.filter((text) => text !== undefined).join(" > ") || "-";
  return [change, parts.join(", ") || (type ?? "file of the image"), size, readable(path)];
}

/** A name may hold what a terminal obeys. */
function readable(path: string): string {
  return /[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/u.test(path)
    ? JSON.stringify(path).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?")
    : path;
}

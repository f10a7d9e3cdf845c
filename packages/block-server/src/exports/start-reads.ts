/**
 * What a disk was asked for first, by workspace, so that the next one that stands on it need not wait for it. A file for each
 * workspace; all of them may be removed at any time.
 */
import { randomBytes } from "node:crypto";
import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, messageOf } from "@mags/core";
import type { WorkspaceKey } from "@mags/workspace-store";
import type { Place } from "./version-export.ts";

export interface StartReads {
  /** Chunks that were asked for, in that order; none when nothing is known. */
  of(key: WorkspaceKey): Promise<readonly number[]>;
  /** Begins to note the reads of one start, from its first one on. */
  note(key: WorkspaceKey): StartNotes;
}

export interface StartNotes extends AsyncDisposable {
  onRead(place: Place): void;
}

/** 64 MiB. */
const MOST_CHUNKS = 1024;
const NOTED_MS = 30_000;
/** Workspaces; those whose last start is longest ago go. */
const MOST_FILES = 1000;

/** @param options.notedMs  What is asked for so long after the first read belongs to a start. Default: 30 s. */
export function createStartReads(
  directory: string,
  { log, notedMs = NOTED_MS }: { readonly log: Logger; readonly notedMs?: number },
): StartReads {
  const pathOf = ({ account, workspace }: WorkspaceKey) => join(directory, `${account}.${workspace}`);

  async function keep(key: WorkspaceKey, chunks: readonly number[]): Promise<void> {
    await mkdir(directory, { recursive: true, mode: 0o700 });
    const temporary = `${pathOf(key)}.${randomBytes(4).toString("hex")}`;
    await writeFile(temporary, JSON.stringify(chunks), { mode: 0o600 });
    await rename(temporary, pathOf(key));
    const names = await readdir(directory);
    if (names.length <= MOST_FILES) return;
    const files = await Promise.all(
      names.map(async (name) => ({ name, mtimeMs: (await stat(join(directory, name))).mtimeMs })),
    );
    for (const { name } of files.toSorted((a, b) => b.mtimeMs - a.mtimeMs).slice(MOST_FILES))
      await rm(join(directory, name), { force: true });
  }

  return {
    async of(key) {
      try {
        const chunks: unknown = JSON.parse(await readFile(pathOf(key), "utf8"));
        return Array.isArray(chunks) ? chunks.filter((chunk) => Number.isSafeInteger(chunk) && chunk >= 0) : [];
      } catch {
        return []; // there is none, or a crash has torn it
      }
    },
    note(key) {
      const chunks = new Set<number>();
      let timer: NodeJS.Timeout | undefined;
      let kept: Promise<void> | undefined;
      const finish = () => {
        clearTimeout(timer);
        kept ??= (chunks.size > 0 ? keep(key, [...chunks]) : Promise.resolve()).catch((error: unknown) =>
          log.warn("blocks.start_not_noted", { error: messageOf(error) }),
        );
        return kept;
      };
      return {
        onRead({ first, end }) {
          if (kept) return;
          timer ??= setTimeout(() => void finish(), notedMs).unref();
          for (let chunk = first; chunk < end && chunks.size < MOST_CHUNKS; chunk++) chunks.add(chunk);
        },
        [Symbol.asyncDispose]: finish,
      };
    },
  };
}

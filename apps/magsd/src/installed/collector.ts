/** Removes what an installation does not need any more, now and every minute; disposing stops it. */
import { rename, rm } from "node:fs/promises";
import { basename, join } from "node:path";
import { type Logger, messageOf } from "@mags/core";
import { whileUnchanged } from "./installation-lock.ts";
import { isInstallation, readInstalledParts, unneededParts } from "./unneeded-parts.ts";

const LOOK_EVERY_MS = 60_000;

export interface CollectorDeps {
  readonly log: Logger;
  /** Directories that are in use though no process shows it. */
  readonly held: () => Promise<readonly string[]>;
}

export function startCollector(program: string, deps: CollectorDeps): AsyncDisposable {
  let working: Promise<void> | undefined;
  const look = () => {
    working ??= collect(program, deps)
      .catch((error: unknown) => deps.log.error("installation.not_cleaned", { error: messageOf(error) }))
      .finally(() => {
        working = undefined;
      });
  };
  look();
  const timer = setInterval(look, LOOK_EVERY_MS);
  return {
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await working;
    },
  };
}

async function collect(program: string, { log, held }: CollectorDeps): Promise<void> {
  if (!isInstallation(program)) return;
  await whileUnchanged(program, async () => {
    const parts = await readInstalledParts(program, await held());
    for (const part of parts ? unneededParts(parts) : []) {
      log.info("installation.part_removed", { part });
      // Aside in one step: what is left of it when this is cut off is not taken for whole.
      const aside = join(program, "objects", `.new.removed-${basename(part)}`);
      await rm(aside, { recursive: true, force: true });
      await rename(join(program, part), aside);
      await rm(aside, { recursive: true });
    }
  });
}

import { execFile } from "node:child_process";
import { randomBytes } from "node:crypto";
import { access, open, readdir, rename, rm } from "node:fs/promises";
import { promisify } from "node:util";
import { AppError } from "@mags/core";
import { clusterDirOf, jailedCommand, type PostgresPlace } from "./place.ts";
import { CLUSTER_NAME, INSIDE, SUPERUSER } from "./settings.ts";

const INITDB_TIMEOUT_MS = 120_000;
const DRAFT = `${CLUSTER_NAME}.new-`;

/**
 * Makes the cluster where there is none, under another name until it is complete. A run that was cut off leaves such a
 * directory, perhaps with its `initdb` still at work in it, so each run takes a name of its own and removes the others.
 */
export async function ensureCluster(place: PostgresPlace, options: { readonly signal: AbortSignal }): Promise<void> {
  const dir = clusterDirOf(place);
  if (await exists(dir)) return;
  const drafts = (await readdir(place.dataDir)).filter((name) => name.startsWith(DRAFT));
  for (const name of drafts) await rm(`${place.dataDir}/${name}`, { recursive: true, force: true, maxRetries: 10 });
  const draft = DRAFT + randomBytes(4).toString("hex");
  const command = jailedCommand(place, INSIDE.initdb, [
    `--pgdata=${INSIDE.data}/${draft}`,
    `--username=${SUPERUSER}`,
    "--auth=trust",
    "--encoding=UTF8",
    "--locale=C",
    // PostgreSQL's own collation: it does not change with the C library, so indexes outlive upgrades of the root.
    "--locale-provider=builtin",
    "--builtin-locale=C.UTF-8",
    "--data-checksums",
    "--no-instructions",
  ]);
  try {
    await promisify(execFile)(command.file, command.args, {
      timeout: INITDB_TIMEOUT_MS,
      signal: options.signal,
      env: {},
      cwd: "/",
    });
  } catch (cause) {
    options.signal.throwIfAborted();
    const { stderr } = cause as { readonly stderr?: string };
    throw new AppError(
      "unavailable",
      `could not make a database cluster in ${place.dataDir}: ${stderr?.trim() ?? ""}`,
      {
        cause,
      },
    );
  }
  await rename(`${place.dataDir}/${draft}`, dir);
  await syncDir(place.dataDir);
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}

async function syncDir(path: string): Promise<void> {
  await using dir = await open(path, "r");
  await dir.sync();
}

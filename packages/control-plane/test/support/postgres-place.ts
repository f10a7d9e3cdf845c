import { findArtifacts, makeTempDir, type TempDir } from "@mags/test-kit";
import type { PostgresPlace } from "../../src/postgres/place.ts";

/** A place for one embedded server in a fresh directory. */
export async function makePostgresPlace(): Promise<{ readonly place: PostgresPlace; readonly dir: TempDir }> {
  const { runtime, launcher } = findArtifacts();
  const dir = await makeTempDir();
  return { place: postgresPlaceIn(dir.path, { dir: runtime, launcher }), dir };
}

function postgresPlaceIn(path: string, runtimeRoot: PostgresPlace["runtimeRoot"]): PostgresPlace {
  return {
    runtimeRoot,
    dataDir: `${path}/pg`,
    socketDir: `${path}/run`,
    logFile: `${path}/pg.log`,
    uid: 1_910_000_000,
    gid: 1_910_000_000,
  };
}

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { describe, it } from "node:test";
import { isAlive, readProcess } from "@mags/control-plane";
import { makeTempDir } from "@mags/test-kit";
import { loadConfig } from "../config.ts";
import { stop } from "./stop.ts";

const ARTIFACTS = process.env.MAGS_ARTIFACTS ?? "/var/cache/mags/artifacts.json";

/** A server with a database that dies when it is told to stop. */
const DYING_SERVER = `
  import { silentLogger, systemClock } from "@mags/core";
  import { loadConfig } from "./config.ts";
  import { serveControlSocket } from "./control-socket.ts";
  import { placesOf } from "./installation.ts";
  import { partsOf } from "./parts.ts";
  const config = await loadConfig(process.argv[1]);
  const { openDatabaseServer } = partsOf({ clock: systemClock, log: silentLogger }, config, { program: "", configFile: "" });
  const database = await openDatabaseServer({ signal: AbortSignal.timeout(60_000) });
  await serveControlSocket(placesOf(config).controlSocket, {
    "POST /stop": async () => {
      setTimeout(() => process.kill(process.pid, "SIGKILL"), 50);
      return { pid: process.pid, jobs: 0 };
    },
  });
  console.log(database.pid);`;

describe("magsd stop", () => {
  it("is done when server and database are gone, also when the server dies while it stops", async () => {
    await using dir = await makeTempDir();
    const configFile = join(dir.path, "magsd.json");
    await writeFile(configFile, JSON.stringify({ data_dir: dir.path, artifacts: ARTIFACTS }));
    const server = spawn(process.execPath, ["--input-type=module-typescript", "--eval", DYING_SERVER, configFile], {
      cwd: resolve(import.meta.dirname, ".."),
      stdio: ["ignore", "pipe", "inherit"],
    });
    const [line] = (await Promise.race([once(server.stdout, "data"), once(server, "exit")])) as [unknown];
    const database = await readProcess(Number(line));
    assert.ok(database, "the database runs");
    const said: string[] = [];
    const context = {
      config: await loadConfig(configFile),
      configFile,
      program: "",
      print: (text: string) => void said.push(text),
    };
    await stop(context, { all: false });
    assert.deepEqual(said, ["ended the database of a magsd that was killed", `magsd (pid ${server.pid}) stopped`]);
    assert.equal(await isAlive(database), false);
    said.length = 0;
    await stop(context, { all: false });
    assert.deepEqual(said, ["magsd is not running"]);
  });
});

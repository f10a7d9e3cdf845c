import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { after, afterEach, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { isAppError, silentLogger } from "@mags/core";
import { type TempDir, waitFor } from "@mags/test-kit";
import { Client } from "pg";
import { clusterDirOf, type PostgresPlace } from "../src/postgres/place.ts";
import { processesIn } from "../src/postgres/processes.ts";
import { type EmbeddedPostgres, startPostgres } from "../src/postgres/start-postgres.ts";
import { makePostgresPlace } from "./support/postgres-place.ts";

describe("startPostgres", () => {
  let place: PostgresPlace;
  let dir: TempDir;
  let running: EmbeddedPostgres | null = null;

  const start = async () => {
    running = await startPostgres({ log: silentLogger }, place, { database: "mags" });
    return running;
  };

  const query = async (text: string) => {
    const client = new Client({ host: place.socketDir, user: "mags", database: "mags" });
    client.on("error", () => {});
    await client.connect();
    try {
      return (await client.query(text)).rows;
    } finally {
      await client.end();
    }
  };

  before(async () => {
    ({ place, dir } = await makePostgresPlace());
    // What a run leaves that was killed while it made the cluster.
    await mkdir(`${place.dataDir}/17.new-0badcafe/base`, { recursive: true });
  });

  afterEach(async () => {
    await running?.stop();
    assert.deepEqual(await processesIn(clusterDirOf(place), place.uid), []);
  });

  after(() => dir[Symbol.asyncDispose]());

  it("makes a cluster with durable settings, reachable by its socket only", async () => {
    const postgres = await start();
    assert.equal(postgres.state, "up");
    const [settings] = await query(
      "select current_setting('fsync') fsync, current_setting('synchronous_commit') sync, current_setting('listen_addresses') listen",
    );
    assert.deepEqual(settings, { fsync: "on", sync: "on", listen: "" });
    await query("create table kept (id int primary key)");
    assert.deepEqual((await readdir(place.dataDir)).sort(), ["17", "command", "lock"]);
  });

  it("refuses a second server on the same data directory", async () => {
    await start();
    await assert.rejects(
      startPostgres({ log: silentLogger }, place, { database: "mags" }),
      (error) => isAppError(error, "unavailable") && error.message.includes("another magsd"),
    );
    await query("select 1");
  });

  it("comes back by itself when its process is killed, with everything committed", async () => {
    const postgres = await start();
    const pid = postgres.pid ?? 0;
    await query("insert into kept values (1)");
    process.kill(pid, "SIGKILL");
    await waitFor(() => postgres.state === "up" && postgres.pid !== pid, { what: "a new server" });
    assert.deepEqual(await query("select id from kept"), [{ id: 1 }]);
  });

  it("adopts the server of a process that was killed", async () => {
    const script = fileURLToPath(new URL("support/hold-postgres.ts", import.meta.url));
    const holder = spawn(process.execPath, [script, JSON.stringify(place)], { stdio: ["ignore", "pipe", "inherit"] });
    const [line] = await once(holder.stdout, "data");
    const pid = Number(String(line));
    holder.kill("SIGKILL");
    await once(holder, "exit");
    const postgres = await start();
    assert.equal(postgres.pid, pid);
    assert.deepEqual(await query("select id from kept"), [{ id: 1 }]);
  });

  it("clears up after a server that was killed while nobody watched", async () => {
    const first = await start();
    const pid = first.pid ?? 0;
    await first.release();
    process.kill(pid, "SIGKILL");
    const postgres = await start();
    assert.notEqual(postgres.pid, pid);
    assert.deepEqual(await query("select id from kept"), [{ id: 1 }]);
  });

  it("replaces a living server that was started in another way", async () => {
    const first = await start();
    const pid = first.pid;
    await first.release();
    await writeFile(`${place.dataDir}/command`, "of an older version");
    const postgres = await start();
    assert.notEqual(postgres.pid, pid);
    assert.deepEqual(await query("select id from kept"), [{ id: 1 }]);
  });

  it("says where to look when the server cannot start", async () => {
    await using other = (await makePostgresPlace()).dir;
    const broken: PostgresPlace = {
      ...place,
      dataDir: `${other.path}/pg`,
      runtimeRoot: { ...place.runtimeRoot, dir: other.path },
    };
    await assert.rejects(
      startPostgres({ log: silentLogger }, broken, { database: "mags" }),
      /could not make a database cluster/,
    );
  });

  it("leaves no server behind when the start fails after the server came up", async () => {
    await assert.rejects(startPostgres({ log: silentLogger }, place, { database: "" }), /zero-length/);
    assert.deepEqual(await processesIn(clusterDirOf(place), place.uid), []);
  });

  it("ends the server that has only begun when it is told to give up", async () => {
    // Written as soon as there is a process, long before it answers.
    const record = `${place.dataDir}/command`;
    await rm(record);
    const giveUp = new AbortController();
    const options = { database: "mags", signal: giveUp.signal };
    const starting = startPostgres({ log: silentLogger }, place, options);
    starting.catch(() => {}); // awaited later
    await waitFor(() => existsSync(record), { what: "the server's process", intervalMs: 1 });
    giveUp.abort(new Error("enough"));
    // It may just have come up.
    await starting.then((postgres) => postgres.stop()).catch((error: Error) => assert.equal(error.message, "enough"));
    assert.deepEqual(await processesIn(clusterDirOf(place), place.uid), []);
    await assert.rejects(startPostgres({ log: silentLogger }, place, options), /enough/);
  });

  it("refuses a socket directory whose path is too long", async () => {
    const far: PostgresPlace = { ...place, socketDir: `${dir.path}/${"x".repeat(100)}` };
    await assert.rejects(startPostgres({ log: silentLogger }, far, { database: "mags" }), /too long for a socket/);
  });
});

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { call, controlSocketOf } from "@mags/block-server";
import { silentLogger, systemClock } from "@mags/core";
import { blocksDirectory } from "@mags/node";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { blockServerOf, runBlockServer } from "./block-server.ts";
import { parseConfig } from "./config.ts";
import { placesOf } from "./installation.ts";
import { claimObjectFolder } from "./object-folder.ts";

describe("the block server", () => {
  it("is of the build that its node takes it for, also when the program was replaced meanwhile", async () => {
    await using temp = await makeTempDir();
    const config = parseConfig(JSON.stringify({ data_dir: temp.path }), "magsd.json");
    await claimObjectFolder(config);
    const program = join(temp.path, "magsd.mjs");
    await writeFile(program, "old");
    const server = { program, configFile: join(temp.path, "magsd.json") };
    const { command, build } = await blockServerOf(config, server);
    assert.deepEqual(command.args.slice(-2), ["--build", build]);
    await writeFile(program, "new");
    assert.notEqual((await blockServerOf(config, server)).build, build, "the next server replaces it");
    const ending = new AbortController();
    const running = runBlockServer({ clock: systemClock, log: silentLogger }, config, { build, signal: ending.signal });
    const socket = controlSocketOf(blocksDirectory(placesOf(config).nodeDirectory));
    const hello = () => call(socket, "hello", {}, { signal: AbortSignal.timeout(5_000) }).catch(() => undefined);
    const answer = await waitFor(hello, { what: "its answer", deadlineMs: 60_000 }).finally(() => ending.abort());
    await running;
    assert.equal(answer.build, build);

    const changed = parseConfig(JSON.stringify({ data_dir: temp.path, node: { block_cache_mb: 1_111 } }), "magsd.json");
    const other = runBlockServer({ clock: systemClock, log: silentLogger }, changed, { build, signal: ending.signal });
    await assert.rejects(other, /configuration has changed .*: restart the server/);
  });

  it("ends also when it is told to while it starts", async () => {
    await using temp = await makeTempDir();
    const config = parseConfig(JSON.stringify({ data_dir: temp.path }), "magsd.json");
    await claimObjectFolder(config);
    const program = join(temp.path, "magsd.mjs");
    await writeFile(program, "");
    const { build } = await blockServerOf(config, { program, configFile: join(temp.path, "magsd.json") });
    await runBlockServer({ clock: systemClock, log: silentLogger }, config, { build, signal: AbortSignal.abort() });
  });
});

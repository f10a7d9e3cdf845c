import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { call, controlSocketOf, processFileOf } from "@mags/block-server";
import { bootId, silentLogger } from "@mags/core";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { type BlocksTimes, blocksDirectory, createBlocks } from "../src/workspaces/blocks.ts";

const DEADLINE_MS = 60_000;
const QUICK: BlocksTimes = { patienceMs: 1_000, beatMs: 100 };

let temp: TempDir;
beforeEach(async () => {
  temp = await makeTempDir();
});
afterEach(() => temp[Symbol.asyncDispose]());

const directory = () => blocksDirectory(temp.path);
const signal = () => AbortSignal.timeout(DEADLINE_MS);
const hello = () => call(controlSocketOf(directory()), "hello", {}, { signal: AbortSignal.timeout(1_000) });

function open(args: readonly string[], times: BlocksTimes) {
  const program = { command: { file: process.execPath, args }, build: "test" };
  return createBlocks(
    directory(),
    { program, enter: async () => [], onDamage: () => assert.fail("there is no damage"), log: silentLogger },
    times,
  );
}

describe("createBlocks", () => {
  it("replaces a block server that hangs, also when nobody asks it anything", async () => {
    const blocks = open([join(import.meta.dirname, "vm/block-server.program.ts"), temp.path], QUICK);
    await blocks.call("served", {}, { signal: signal() });
    const { pid } = await hello();
    process.kill(pid, "SIGSTOP");
    await waitFor(() => !existsSync(`/proc/${pid}`), { what: "its end", deadlineMs: DEADLINE_MS });
    const other = await waitFor(() => hello().catch(() => undefined), { what: "another", deadlineMs: DEADLINE_MS });
    assert.notEqual(other.pid, pid);
    assert.deepEqual(await blocks.call("served", {}, { signal: signal() }), []);
    await blocks[Symbol.asyncDispose]();
    await assert.rejects(hello(), "with nothing to serve it ends with its node");
  });

  it("leaves nothing of one that does not start", async () => {
    const file = join(temp.path, "pid");
    const script = `require("fs").writeFileSync(${JSON.stringify(file)}, String(process.pid)); setInterval(() => {}, 1000)`;
    await using blocks = open(["-e", script], { ...QUICK, startMs: 2_000 });
    await assert.rejects(blocks.call("served", {}, { signal: signal() }), /does not start/);
    const pid = await readFile(file, "utf8");
    assert.ok(!existsSync(`/proc/${pid}`));
  });

  it("ends no other process in the place of one that does not answer", async () => {
    await mkdir(directory(), { recursive: true });
    const silent = createServer().listen(controlSocketOf(directory()));
    await once(silent, "listening");
    const foreign = { pid: process.pid, startTime: "1", boot: await bootId() };
    await writeFile(processFileOf(directory()), JSON.stringify(foreign));
    const blocks = open(["-e", ""], QUICK);
    await assert.rejects(blocks.call("served", {}, { signal: signal() }), /that is none/);
    await blocks[Symbol.asyncDispose]();
    silent.close();
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { existsSync } from "node:fs";
import { mkdir, readFile, writeFile } from "node:fs/promises";
import { createServer as createHttpServer, type ServerResponse } from "node:http";
import { createServer } from "node:net";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { call, controlSocketOf, type Damage, processFileOf } from "@mags/block-server";
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

function open(
  args: readonly string[],
  times: BlocksTimes,
  onDamage = (_: Damage): void => assert.fail("there is no damage"),
) {
  const program = { command: { file: process.execPath, args }, build: "test" };
  return createBlocks(directory(), { program, enter: async () => [], onDamage, log: silentLogger }, times);
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

  it("tells damage once, whatever calls are cut off while the block server lives", async () => {
    await mkdir(directory(), { recursive: true });
    const asked: string[] = [];
    const waiting = new Map<ServerResponse, string>();
    /** One that cuts its first calls off. */
    const server = createHttpServer(async (incoming, reply) => {
      const name = (incoming.url ?? "").slice(1);
      const params = JSON.parse(Buffer.concat(await incoming.toArray()).toString()) as { readonly heard?: number };
      const times = asked.filter((one) => one === name).length;
      asked.push(name);
      const answer = (body: object) => reply.end(JSON.stringify(body));
      if (name === "hello") return answer({ result: { build: "test", pid: process.pid } });
      if (name === "served" && times === 0) return incoming.socket.destroy();
      if (name === "served") return answer({ result: ["somebody"] });
      if (name === "damages" && times === 0) return answer({ error: { code: "internal", message: "not now" } });
      if (name === "damages" && params.heard === 0) return answer({ result: [{ number: 1 }] });
      waiting.set(reply, name);
      reply.once("close", () => waiting.delete(reply));
    }).listen(controlSocketOf(directory()));
    await once(server, "listening");
    const heard: number[] = [];
    const blocks = open(["-e", ""], QUICK, ({ number }) => void heard.push(number));
    await blocks.call("imageOf", {} as never, { signal: AbortSignal.timeout(500) }).catch(() => {});
    await waitFor(() => heard.length > 0, { what: "the damage", deadlineMs: DEADLINE_MS });
    assert.deepEqual(await blocks.call("served", {}, { signal: signal() }), ["somebody"]);
    const settled = () => [...waiting.values()].toSorted().join() === "damages,watch";
    await waitFor(settled, { what: "one who watches and one who hears", deadlineMs: DEADLINE_MS });
    assert.deepEqual(heard, [1]);
    await blocks[Symbol.asyncDispose]();
    server.closeAllConnections();
    server.close();
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

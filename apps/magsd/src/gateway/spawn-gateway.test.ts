import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { promisify } from "node:util";
import { isAppError, type LogFields, type Logger } from "@mags/core";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { SshConfig } from "../ssh-config.ts";
import { spawnGateway } from "./spawn-gateway.ts";

describe("spawnGateway", () => {
  let temp: TempDir;
  let told: { readonly event: string; readonly fields: LogFields }[];
  let upstream: (string | null)[];
  let log: Logger;
  beforeEach(async () => {
    temp = await makeTempDir();
    told = [];
    upstream = [];
    const tell = (event: string, fields: LogFields = {}) => void told.push({ event, fields });
    log = { debug: tell, info: tell, warn: tell, error: tell, child: () => log };
  });
  afterEach(() => temp[Symbol.asyncDispose]());

  /** A gateway that has been taken over, or is ill: it does this as soon as it is told what to do. */
  async function spawned(does: string) {
    const program = join(temp.path, "gateway.mjs");
    await writeFile(
      program,
      `const tell = (news) => process.stdout.write(JSON.stringify(news) + "\\n");
       process.stdin.on("data", () => { ${does} });
       process.stdin.on("end", () => process.exit(0));`,
    );
    const task = { upstream: { path: "/nowhere" }, uid: null, ssh: SshConfig.parse({}), urls: null };
    return spawnGateway(program, task, { log, onUpstream: (problem) => void upstream.push(problem) });
  }
  const events = () => told.map(({ event }) => event);
  const signal = new AbortController().signal;

  it("ends one that says what no gateway says", async () => {
    const port = `tell({ type: "listening", urls: null, ssh: { port: 70000, fingerprint: "SHA256:${"x".repeat(43)}" } })`;
    for (const does of ['process.stdout.write("{\\n")', 'tell({ type: "do this" })', port]) {
      const gateway = await spawned(does);
      await assert.rejects(gateway.listening({ signal }), /ended as it started \(SIGKILL\)/);
      await gateway.ended;
      assert.deepEqual(events(), ["gateway.broke_rules", "gateway.ended"]);
      told.length = 0;
    }
  });

  it("takes nothing more from one that says too much, or has said what no gateway says", async () => {
    for (const line of ['{"type":"alive"}', ""]) {
      const text = JSON.stringify(`${line}\n`);
      const gateway = await spawned(
        `const pour = () => process.stdout.write(${text}.repeat(1000), pour); process.stdout.on("error", () => {}); pour();`,
      );
      await assert.rejects(gateway.listening({ signal }), /ended as it started \(SIGKILL\)/);
      await gateway.ended;
      assert.deepEqual(events(), ["gateway.broke_rules", "gateway.ended"]);
      told.length = 0;
    }
  });

  it("ends one whose line does not end, on either stream", async () => {
    for (const stream of ["stdout", "stderr"]) {
      const gateway = await spawned(`process.${stream}.write("x".repeat(1_000_000))`);
      await assert.rejects(gateway.listening({ signal }), /ended as it started \(SIGKILL\)/);
    }
    assert.deepEqual(events(), ["gateway.ended", "gateway.ended"]);
  });

  it("logs a part of what one says without end, and counts the rest", async () => {
    const gateway = await spawned(`
      for (let i = 0; i < 5000; i++) tell({ type: "log", level: "info", event: "x.y", fields: { i } });
      setTimeout(() => tell({ type: "log", level: "info", event: "last", fields: {} }), 1100);`);
    await waitFor(() => events().includes("last"), { what: "its last words" });
    const drops = told.filter(({ event }) => event === "gateway.lines_dropped");
    const dropped = drops.reduce((sum, { fields }) => sum + (fields.count as number), 0);
    assert.ok(dropped > 4_000, `${dropped} were dropped`);
    assert.ok(events().filter((event) => event === "x.y").length <= 1_000);
    await gateway.end();
  });

  it("passes on why it cannot begin and whether it has a server, in words that no terminal obeys", async () => {
    const gateway = await spawned(`
      tell({ type: "upstream", problem: "a\\u001b[2Jb" });
      tell({ type: "upstream", problem: null });
      tell({ type: "failed", code: "unavailable", message: "no\\nroom" + "x".repeat(5000) });`);
    await assert.rejects(gateway.listening({ signal }), (error: unknown) => {
      assert.ok(isAppError(error, "unavailable"));
      assert.match(error.message, /^no\?roomx{1993}$/);
      return true;
    });
    assert.deepEqual(upstream, ["a?[2Jb", null]);
    await gateway.end();
  });

  it("tells of one that hangs and that it may not end", async () => {
    const program = join(temp.path, "gateway.mjs");
    const script = join(temp.path, "start.mjs");
    await writeFile(
      program,
      `process.setgid(1910000001); process.setuid(1910000001);
       process.stdin.on("data", () => process.kill(process.pid, "SIGSTOP"));`,
    );
    await writeFile(
      script,
      `import { spawnGateway } from ${JSON.stringify(join(import.meta.dirname, "spawn-gateway.ts"))};
       import { readFile } from "node:fs/promises";
       const events = [];
       const tell = (event) => void events.push(event);
       const log = { debug: tell, info: tell, warn: tell, error: tell };
       const gateway = await spawnGateway(${JSON.stringify(program)}, { upstream: { path: "/nowhere" } }, { log });
       const { pid } = gateway.identity;
       while (!/^State:\tT/m.test(await readFile("/proc/" + pid + "/status", "utf8"))) await new Promise((r) => setTimeout(r, 20));
       for (const _ of [1, 2]) gateway.kill();
       const stuck = gateway.stuck();
       const { code, message } = await gateway.end().catch((error) => error);
       console.log(JSON.stringify({ pid, events, stuck, code, message }));
       process.exit(0);`,
    );
    const { stdout } = await promisify(execFile)("setpriv", ["--bounding-set=-kill", process.execPath, script]);
    const { pid, ...heard } = JSON.parse(stdout);
    process.kill(pid, "SIGKILL");
    assert.deepEqual(heard, {
      ...{ events: ["gateway.stuck"], stuck: true, code: "forbidden" },
      message: `the gateway (process ${pid}) cannot be ended: root needs CAP_KILL for it`,
    });
  });

  it("does not wait for one that hangs when it is to end", async () => {
    const gateway = await spawned("");
    process.kill(gateway.identity.pid, "SIGSTOP");
    gateway.kill();
    await gateway.end();
    await gateway.ended;
    assert.deepEqual(events(), ["gateway.ended"]);
  });
});

import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rename, rm, rmdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type LogFields, type Logger, sleep } from "@mags/core";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { SshConfig } from "../ssh-config.ts";
import { keepGateway } from "./keep-gateway.ts";

const ssh = { port: 2222, fingerprint: `SHA256:${"x".repeat(43)}` };
const listening = JSON.stringify({ type: "listening", ssh, urls: null });
/** What a gateway tells, and then does. */
const programThat = (does: string) =>
  // It is alive for as long as its event loop turns.
  `setInterval(() => process.stdout.write('{"type":"alive"}\\n'), 200);
   process.stdin.on("data", () => process.stdout.write(${JSON.stringify(`${listening}\n`)}, () => { ${does} }));
   process.stdin.on("end", () => process.exit(0));`;

describe("keepGateway", () => {
  let temp: TempDir;
  let program: string;
  let processFile: string;
  let told: { readonly event: string; readonly fields: LogFields }[];
  let log: Logger;
  beforeEach(async () => {
    temp = await makeTempDir();
    [program, processFile] = [join(temp.path, "gateway.mjs"), join(temp.path, "gateway.json")];
    told = [];
    const tell = (event: string, fields: LogFields = {}) => void told.push({ event, fields });
    log = { debug: tell, info: tell, warn: tell, error: tell, child: () => log };
    await writeFile(program, programThat(""));
  });
  afterEach(() => temp[Symbol.asyncDispose]());

  const keep = (silentMs?: number) =>
    keepGateway(
      { log },
      {
        program,
        processFile,
        task: { upstream: { path: "/nowhere" }, uid: null, ssh: SshConfig.parse({}), urls: null },
        ...(silentMs && { silentMs }),
      },
      { signal: new AbortController().signal },
    );
  const fieldsOf = (wanted: string) => told.filter(({ event }) => event === wanted).map(({ fields }) => fields);
  const killIt = async () => process.kill(JSON.parse(await readFile(processFile, "utf8")).pid, "SIGKILL");

  it("waits longer each time for one that ends at once, and ends with it waiting", async () => {
    await writeFile(program, programThat("process.exit(3)"));
    await using gateway = await keep();
    await waitFor(() => fieldsOf("gateway.lost").length >= 4, { what: "four deaths", deadlineMs: 60_000 });
    const pauses = fieldsOf("gateway.lost").map(({ againInMs }) => againInMs);
    assert.deepEqual(pauses.slice(0, 4), [100, 200, 400, 800]);
    await waitFor(() => gateway.problem !== null, { what: "its problem" });
    assert.match(gateway.problem ?? "", /^it has ended, and is started again$|^it cannot be started again: /);
  });

  it("says why it cannot be started again, once in the log, and is back when it can", async () => {
    await using gateway = await keep();
    assert.equal(gateway.problem, null);
    await rename(program, `${program}.away`);
    await killIt();
    await waitFor(() => fieldsOf("gateway.complains").length > 0, { what: "a start without its program" });
    await waitFor(() => fieldsOf("gateway.ended").length >= 4, { what: "three attempts", deadlineMs: 60_000 });
    assert.match(gateway.problem ?? "", /^it cannot be started again: .* ended as it started \(exit code 1\)/);
    assert.equal(fieldsOf("gateway.failed").length, 1);
    await rename(`${program}.away`, program);
    await waitFor(() => gateway.problem === null, { what: "a gateway", deadlineMs: 60_000 });
    assert.equal(fieldsOf("gateway.back").length, 1);
  });

  it("tells that its folder cannot be written to, and leaves no process that nothing names", async () => {
    await using gateway = await keep();
    await mkdir(`${processFile}.new`);
    await killIt();
    await waitFor(() => /EISDIR/.test(gateway.problem ?? ""), { what: "its problem", deadlineMs: 60_000 });
    await waitFor(() => fieldsOf("gateway.ended").length >= 2, { what: "the end of the unnamed one" });
    await rmdir(`${processFile}.new`);
    await waitFor(() => gateway.problem === null, { what: "a gateway", deadlineMs: 60_000 });
  });

  it("ends one that hangs, and begins another", async () => {
    await using _gateway = await keep(2_000);
    process.kill(JSON.parse(await readFile(processFile, "utf8")).pid, "SIGSTOP");
    await waitFor(() => fieldsOf("gateway.back").length > 0, { what: "another gateway", deadlineMs: 60_000 });
    assert.equal(fieldsOf("gateway.ended")[0]?.signal, "SIGKILL");
  });

  it("replaces one that dies or hangs as it waits for a server that is away, and ends with it waiting", async () => {
    const waiting = programThat("").replace('process.stdin.on("data"', 'process.stdin.on("never"');
    await writeFile(program, `${waiting}process.stdin.resume();`);
    const ending = new AbortController();
    const task = {
      upstream: { host: "server.example", port: 1, secret: "" },
      uid: null,
      ssh: SshConfig.parse({}),
      urls: null,
    };
    const begin = (signal: AbortSignal) =>
      keepGateway({ log }, { program, processFile, task, silentMs: 3_000 }, { signal });
    const pid = async () => JSON.parse(await readFile(processFile, "utf8").catch(() => "{}")).pid as number | undefined;
    const another = (than: number) =>
      waitFor(async () => ((await pid()) !== than ? await pid() : undefined), { what: "another", deadlineMs: 60_000 });
    const opening = begin(ending.signal);
    const first = await another(0);
    await sleep(1_000); // it has given a sign of life
    process.kill(first, "SIGKILL");
    const second = await another(first);
    await sleep(1_000);
    process.kill(second, "SIGSTOP");
    await another(second);
    ending.abort(new Error("enough"));
    await assert.rejects(opening, /enough/);
    await using gateway = await (async () => {
      await writeFile(program, programThat(""));
      return begin(new AbortController().signal);
    })();
    assert.equal(gateway.ssh?.port, 2222);
  });

  it("does not begin without its program, and leaves nothing", async () => {
    await rm(program);
    await assert.rejects(keep(), /the gateway ended as it started \(exit code 1\)/);
    assert.deepEqual(await readdir(temp.path), []);
    assert.match(String(fieldsOf("gateway.complains").map(({ text }) => text)), /Cannot find module/);
  });
});

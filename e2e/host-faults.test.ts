import assert from "node:assert/strict";
import { readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { waitFor } from "@mags/test-kit";
import { startServer, type TestServer } from "./harness/server.ts";

const FROZEN_MS = 30_000;
const JOBS = "/api/v1/mags-jobs";

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server[Symbol.asyncDispose]());

const script = (lines: number, exitCode: number) =>
  `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo line $i; sleep 0.2; done; exit ${exitCode}`;
const linesUpTo = (count: number) => Array.from({ length: count }, (_, i) => `line ${i + 1}\n`).join("");

/** PostgreSQL's first process and all that it started. */
async function databaseProcesses(): Promise<number[]> {
  const pid = await server.databasePid();
  assert.ok(pid !== null);
  const children = await readFile(`/proc/${pid}/task/${pid}/children`, "utf8");
  return [pid, ...children.trim().split(" ").map(Number)];
}

function signal(pids: readonly number[], name: NodeJS.Signals): void {
  for (const pid of pids) process.kill(pid, name);
}

describe("a database that answers nothing for 30 s", () => {
  it("keeps requests waiting or has them refused with 503; running jobs go on, nothing accepted is lost", async () => {
    await server.poolFilled(2);
    const [within, beyond] = [script(90, 3), script(160, 4)];
    const [short, long] = await Promise.all([server.submit({ script: within }), server.submit({ script: beyond })]);
    const cli = server.startMags(["logs", "-f", long]);
    await waitFor(() => cli.soFar().includes("line 3\n"), { what: "both jobs to run" });

    const frozen = await databaseProcesses();
    signal(frozen, "SIGSTOP");
    const accepted: string[] = [];
    const refused: number[] = [];
    const requests: Promise<void>[] = [];
    const ready: number[] = [];
    try {
      for (const end = performance.now() + FROZEN_MS; performance.now() < end; await delay(2_000)) {
        const body = { type: "inline", persistent: false, script: "exit 5" };
        requests.push(
          server.api.call("POST", JOBS, body).then(({ status, body }) => {
            if (status === 202) accepted.push((body as { request_id: string }).request_id);
            else refused.push(status);
          }),
        );
        ready.push((await fetch(`${server.url}/readyz`)).status);
      }
      assert.match(cli.soFar(), /line 90\n/);
    } finally {
      signal(frozen, "SIGCONT");
    }
    assert.equal((await server.ended(await server.submit({ script: "exit 6" }))).exit_code, 6);
    await Promise.all(requests);
    assert.ok(
      refused.every((status) => status === 503),
      refused.join(" "),
    );
    assert.ok(ready.slice(2).every((status) => status === 503));
    for (const id of accepted) assert.equal((await server.ended(id)).exit_code, 5);
    assert.equal((await server.ended(short)).exit_code, 3);
    assert.equal((await server.mags(["logs", short])).text, linesUpTo(90));
    assert.equal((await server.ended(long)).exit_code, 4);
    assert.equal((await cli.result).text, linesUpTo(160));
  });
});

describe("files of a template that are deleted", () => {
  for (const [what, remove] of [
    ["all", async (folder: string) => rm(folder, { recursive: true })],
    ["its memory", async (folder: string) => rm(join(folder, "memory"))],
  ] as const)
    it(`(${what}) while clones run and the pool is filled: jobs run on and start, the template is built anew`, async () => {
      await server.poolFilled(2);
      const running = await server.submit({ script: script(20, 7) });
      await server.running(running);
      const templates = join(server.dataDir, "templates");
      const [key = ""] = await readdir(templates);
      const others = await Promise.all([1, 2, 3].map(() => server.submit({ script: "sleep 0.5; exit 8" })));
      await remove(join(templates, key));
      others.push(await server.submit({ script: "exit 8" }), await server.submit({ script: "exit 8" }));
      for (const id of others)
        assert.equal((await server.ended(id)).exit_code, 8, (await server.status(id)).error_message);
      assert.equal((await server.ended(running)).exit_code, 7);
      await server.poolFilled(3);
      const files = await readdir(join(templates, key));
      assert.deepEqual(files.toSorted(), ["memory", "state", "template.json"]);
    });
});

import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { startServer, type TestServer } from "./harness/server.ts";
import { GO, tell } from "./harness/told.ts";
import { untilParkedOnly } from "./harness/traces.ts";
import { askUrl, type UnderLoad, underLoad } from "./harness/url-load.ts";

const OUTPUT_LIMIT = 4 * 1024 * 1024;
const RESTARTS = 5;

let server: TestServer;
before(async () => {
  server = await startServer({ node: { max_output_bytes: OUTPUT_LIMIT } });
});
after(() => server[Symbol.asyncDispose]());

const counter = (lines: number, code: number) =>
  `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo line $i; [ $((i%2)) = 0 ] || echo err $i >&2; sleep 0.05; done; exit ${code}`;

function assertComplete(text: string, word: string, numbers: readonly number[]): void {
  assert.deepEqual(
    text.trimEnd().split("\n"),
    numbers.map((n) => `${word} ${n}`),
  );
}

const upTo = (n: number) => Array.from({ length: n }, (_, i) => i + 1);

describe("a guest that fails", () => {
  const cases: readonly [string, string, RegExp][] = [
    ["reboots", "echo before; sync; echo b > /proc/sysrq-trigger; sleep 5", /VM was lost: the guest rebooted/],
    ["panics", "echo before; sync; echo c > /proc/sysrq-trigger; sleep 5", /VM was lost: the guest's kernel panicked/],
    ["powers off", "echo before; sync; echo o > /proc/sysrq-trigger; sleep 5", /VM was lost: the guest powered off/],
  ];
  for (const [what, script, reason] of cases) {
    it(`${what}: its job ends in error with the reason, its output is kept, others are not touched`, async () => {
      const other = await server.submit({ script: "sleep 1; echo fine; exit 2" });
      const id = await server.submit({ script });
      const status = await server.ended(id);
      assert.equal(status.status, "error");
      assert.match(status.error_message ?? "", reason);
      assert.equal((await server.mags(["logs", id])).text, "before\n");
      assert.equal((await server.ended(other)).exit_code, 2);
      assert.equal((await server.mags(["logs", other])).text, "fine\n");
    });
  }

  it("by kill -9 of its QEMU: the job is in error with a reason within 5 s", async () => {
    const id = await server.submit({ script: "echo started; sleep 60" });
    const { vm_id = "" } = await server.running(id);
    await waitFor(async () => (await server.mags(["logs", id])).text === "started\n", { what: "its output" });
    process.kill(await server.qemuPid(vm_id), "SIGKILL");
    const status = await server.ended(id, 5_000);
    assert.equal(status.status, "error");
    assert.match(status.error_message ?? "", /QEMU process ended unexpectedly/);
    assert.equal((await server.mags(["logs", id])).text, "started\n");
    const run = await server.mags(["run", "--json", "true"]);
    assert.equal(run.exitCode, 0, run.errors);
  });

  it("by kill -9 of a parked clone's QEMU: the pool replaces it and no job meets it", async () => {
    await server.poolFilled(3);
    for (const name of await readdir(join(server.dataDir, "vms"))) {
      const pid = await server.qemuPid(name).catch(() => undefined); // none: it is being made
      if (pid !== undefined) process.kill(pid, "SIGKILL");
    }
    const { exitCode, text } = await server.mags(["run", "echo alive"]);
    assert.equal(text, "alive\n");
    assert.equal(exitCode, 0);
  });
});

describe("a script that prints without end", () => {
  it("keeps its output up to the limit, says so, and runs on to its exit code", async () => {
    const script = "head -c 268435456 /dev/zero; exit 6";
    const { exitCode, stdout, errors } = await server.mags(["run", script], { timeoutMs: 400_000 });
    assert.equal(exitCode, 6);
    assert.equal(stdout.length, OUTPUT_LIMIT);
    assert.match(errors, /output limit of 4194304 bytes reached/);
  });
});

describe("kill -9 of the server", () => {
  it("beyond the limit on output: the script runs on to its exit code all the same", async () => {
    const script = `head -c ${OUTPUT_LIMIT + 1_000_000} /dev/zero; while [ ! -e ${GO} ]; do echo more; sleep 0.05; done; exit 8`;
    const id = await server.submit({ script });
    await waitFor(
      async () => {
        const { body } = await server.api.call("GET", `/api/v1/mags-jobs/${id}/events`);
        return JSON.stringify(body).includes("output_limit_reached");
      },
      { what: "the limit", deadlineMs: 30_000 },
    );
    await server.kill();
    await server.start();
    await server.running(id);
    await tell(server, id);
    assert.equal((await server.ended(id)).exit_code, 8);
  });

  it(`in the middle of a script, ${RESTARTS} times: it runs on, its output is complete and in order, its exit code right`, async () => {
    for (let round = 1; round <= RESTARTS; round++) {
      const cli = server.startMags(["run", counter(60, 40 + round)]);
      await waitFor(() => cli.soFar().includes(`line ${round * 7}`), { what: "output" });
      await server.kill();
      await server.start();
      const { exitCode, text, errors } = await cli.result;
      assert.equal(exitCode, 40 + round, errors);
      assertComplete(text, "line", upTo(60));
      const own = errors.split("\n").filter((line) => line.startsWith("err "));
      assertComplete(
        own.join("\n"),
        "err",
        upTo(60).filter((n) => n % 2 === 1),
      );
    }
  });

  it("leaves no VM, namespace or file that nobody owns, and accepted jobs that had no VM yet run", async () => {
    const ids = await Promise.all(upTo(8).map((n) => server.submit({ script: `sleep 0.2; echo job ${n}` })));
    await server.kill();
    await server.start();
    for (const [n, id] of ids.entries()) {
      const status = await server.ended(id);
      assert.equal(status.status, "completed", status.error_message);
      assert.equal((await server.mags(["logs", id])).text, `job ${n + 1}\n`);
    }
    await server.poolFilled(3);
    await untilParkedOnly(server);
  });

  it("in the moment in which a parked VM gets its disk: no later job gets that VM", async () => {
    await server.poolFilled(3);
    await server.kill();
    for (const vmId of await readdir(join(server.dataDir, "vms"))) {
      const { parked } = await server.vmRecord(vmId);
      if (parked && !parked.mounted) await writeFile(join(server.dataDir, "vms", vmId, "jail/disk.qcow2"), "");
    }
    await server.start();
    const ids = await Promise.all([1, 2, 3, 4].map(() => server.submit({ script: "exit 5", disk_gb: 4 })));
    for (const id of ids) {
      const status = await server.ended(id);
      assert.equal(status.exit_code, 5, status.error_message);
    }
  });

  it("while a VM's QEMU dies too: the job ends in error that says so", async () => {
    const id = await server.submit({ script: "echo on; sleep 60" });
    const { vm_id = "" } = await server.running(id);
    const pid = await server.qemuPid(vm_id);
    await server.kill();
    process.kill(pid, "SIGKILL");
    await server.start();
    const status = await server.ended(id);
    assert.equal(status.status, "error");
    assert.match(status.error_message ?? "", /VM was lost.*while the server was away/);
  });
});

describe("the database", () => {
  it("killed under load comes back by itself, and nothing acknowledged is lost", async () => {
    const ids: string[] = [];
    for (let n = 1; n <= 12; n++) {
      ids.push(await server.submit({ script: `sleep 0.${n}; exit ${n}` }));
      if (n === 4) {
        const { database } = await server.serverStatus();
        process.kill(database.pid ?? 0, "SIGKILL");
      }
    }
    for (const [n, id] of ids.entries()) assert.equal((await server.ended(id)).exit_code, n + 1);
    const { database } = await server.serverStatus();
    assert.ok(database.pid !== null && existsSync(`/proc/${database.pid}`));
  });
});

describe("magsd stop", () => {
  it("leaves VMs of jobs running, which the next start takes over; --all ends them", async () => {
    const id = await server.submit({ script: counter(80, 0) });
    const { vm_id = "" } = await server.running(id);
    const pid = await server.qemuPid(vm_id);
    const { database } = await server.serverStatus();
    const stopped = await server.magsd("stop");
    assert.match(stopped.text, /VMs of 1 jobs go on/);
    assert.ok(existsSync(`/proc/${pid}`));
    assert.ok(!existsSync(`/proc/${database.pid}`));
    await server.start();
    assert.equal((await server.ended(id)).exit_code, 0);
    assertComplete((await server.mags(["logs", id])).text, "line", upTo(80));

    const second = await server.submit({ script: "sleep 300" });
    const held = await server.qemuPid((await server.running(second)).vm_id ?? "");
    assert.match((await server.magsd("stop", "--all")).text, /1 running jobs ended/);
    assert.ok(!existsSync(`/proc/${held}`));
    assert.deepEqual(await readdir(join(server.dataDir, "vms")), []);
    await server.start();
    assert.equal((await server.status(second)).status, "completed");
  });
});

describe("a URL", () => {
  const page = "a page of the VM";
  let url: URL;
  before(async () => {
    const script = `mkdir /w && cd /w && echo -n '${page}' > index.html && exec python3 -m http.server 8080`;
    const id = await server.submit({ script, persistent: true, no_sync: true });
    await server.running(id);
    const { status, body } = await server.api.call("POST", `/api/v1/mags-jobs/${id}/access`, { port: 8080 });
    assert.equal(status, 200, JSON.stringify(body));
    url = new URL((body as { url: string }).url);
    await waitFor(async () => (await askUrl(url)).text === page, { what: "the page", deadlineMs: 60_000 });
  });

  /** Requests fail as if there were no server, or are told to come again. */
  function assertClean(seen: UnderLoad["seen"]): void {
    for (const { status, text } of seen)
      if (status === 200) assert.equal(text, page);
      else assert.ok(status === null || status === 502 || status === 503, `${status} ${text}`);
  }

  it("whose gateway is killed fails cleanly, and is answered by the next one", async (context) => {
    const pidOf = async () => JSON.parse(await readFile(join(server.dataDir, "gateway.json"), "utf8")).pid as number;
    const pid = await pidOf();
    const { seen, awayMs } = await underLoad(url, async () => void process.kill(pid, "SIGKILL"));
    assertClean(seen);
    assert.notEqual(await pidOf(), pid);
    context.diagnostic(`answered ${Math.round(awayMs)} ms after that`);
  });

  it("whose server is killed fails cleanly, and is answered as soon as that is back", async (context) => {
    let backMs = Number.POSITIVE_INFINITY;
    const { seen, awayMs } = await underLoad(url, async () => {
      const beganMs = performance.now();
      await server.kill();
      await server.start();
      backMs = performance.now() - beganMs;
    });
    assertClean(seen);
    context.diagnostic(`answered ${Math.round(awayMs - backMs)} ms after the server was back`);
  });
});

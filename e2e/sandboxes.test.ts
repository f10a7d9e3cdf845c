import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { setTimeout as delay } from "node:timers/promises";
import { createSeededRandom, waitFor } from "@mags/test-kit";
import { startServer, type TestServer } from "./harness/server.ts";
import { untilParkedOnly } from "./harness/traces.ts";

const JOBS = "/api/v1/mags-jobs";
const STORM = 100;
const SEED = Number(process.env.KILL_SEED ?? Date.now() % 1_000_000);

interface Status {
  readonly request_id: string;
  readonly status: string;
  readonly exit_code?: number;
  readonly vm_id?: string;
  readonly disk_gb: number;
}

interface SandboxEvent {
  readonly name: string;
  readonly data: Readonly<Record<string, unknown>>;
}

/** What the tests do with the sandboxes of one server. */
function userOf(server: () => TestServer) {
  /** Rejects unless the command line ended with 0. */
  async function mags(...args: string[]): Promise<string> {
    const { exitCode, text, errors } = await server().mags(args);
    assert.equal(exitCode, 0, `mags ${args.join(" ")}: ${errors}${text}`);
    return text;
  }

  async function exec(name: string, command: string): Promise<string> {
    const { status, body } = await server().api.call("POST", `${JOBS}/${name}/exec`, { command, timeout: 60 });
    assert.equal(status, 200, JSON.stringify(body));
    const { exit_code, stdout, stderr } = body as { exit_code: number; stdout: string; stderr: string };
    assert.equal(exit_code, 0, `${command}: ${stderr}`);
    return stdout;
  }

  const statusOf = async (name: string) => (await server().api.call("GET", `${JOBS}/${name}/status`)).body as Status;
  return {
    mags,
    exec,
    statusOf,
    untilStatus: (name: string, status: string, deadlineMs = 60_000) =>
      waitFor(async () => (await statusOf(name)).status === status, {
        ...{ what: `${name} to be ${status}`, deadlineMs, intervalMs: 200 },
      }),
    bootId: (name: string) => exec(name, "cat /proc/sys/kernel/random/boot_id"),
    count: async (name: string) => Number(await exec(name, "cat /root/count")),
    async eventsOf(name: string): Promise<SandboxEvent[]> {
      const { body } = await server().api.call("GET", `${JOBS}/${name}/events`);
      return (body as { events: SandboxEvent[] }).events;
    },
  };
}

const ASLEEP_MS = 3_000;
const COUNT_MS = 50;
const COUNTER = `cat >/root/count.py <<'END'
import time, os
n = 0
while True:
    n += 1
    open("/root/count.tmp", "w").write(str(n)); os.rename("/root/count.tmp", "/root/count")
    time.sleep(${COUNT_MS / 1000})
END
setsid python3 /root/count.py </dev/null >/dev/null 2>&1 & sleep 0.5`;
const TMUX = "tmux new-session -d -s work 'echo in tmux; exec sh'";
const LISTENER = "setsid python3 -m http.server 8080 --bind 127.0.0.1 -d /root </dev/null >/dev/null 2>&1 & sleep 2";

// Each has a server of its own: one of them waits for a minute.
describe("sandboxes", { concurrency: 2 }, () => {
  describe("a sandbox", { concurrency: 1 }, () => {
    let server: TestServer;
    before(async () => {
      server = await startServer();
    });
    after(() => server?.[Symbol.asyncDispose]());
    const { mags, exec, statusOf, bootId, count, eventsOf } = userOf(() => server);

    it("is made by mags new and stays; a counter, a tmux session and a TCP listener go on over sleep and wake", async () => {
      const made = await mags("new", "lives");
      assert.match(made, /lives/);
      assert.match(made, /mags ssh lives/);
      await exec("lives", COUNTER);
      await exec("lives", TMUX);
      await exec("lives", LISTENER);
      const boot = await bootId("lives");
      const countedAtMs = performance.now();
      const before = await count("lives");
      await mags("sleep", "lives");
      assert.equal((await statusOf("lives")).status, "sleeping");
      assert.equal((await statusOf("lives")).vm_id, undefined);
      await delay(ASLEEP_MS);
      await mags("wake", "lives");
      assert.equal((await statusOf("lives")).status, "running");
      assert.equal(await bootId("lives"), boot);
      const after = await count("lives");
      // It slept: it has not counted meanwhile, and goes on now.
      const awakeMs = performance.now() - countedAtMs - ASLEEP_MS;
      assert.ok(after >= before && after <= before + awakeMs / COUNT_MS + 5, `${before} → ${after} in ${awakeMs} ms`);
      await waitFor(async () => (await count("lives")) > after, { what: "the counter" });
      assert.match(await exec("lives", "tmux capture-pane -p -t work"), /in tmux/);
      assert.match(await exec("lives", "curl -sf http://127.0.0.1:8080/count"), /^\d+$/);
      const askedAt = Date.now() / 1000;
      const now = Number(await exec("lives", "date +%s"));
      assert.ok(now > askedAt - 5 && now < Date.now() / 1000 + 5, `${now}`);
      const events = await eventsOf("lives");
      for (const [name, reason] of [
        ["slept", "requested"],
        ["woke", "requested"],
      ] as const)
        assert.equal(events.findLast((event) => event.name === name)?.data.reason, reason, name);
      assert.match(await mags("status", "lives"), /woke|wake|requested/i);
    });

    it("wakes once for a storm of clients, each of which gets its answer", async () => {
      await mags("sleep", "lives");
      const woken = (await eventsOf("lives")).filter(({ name }) => name === "woke").length;
      const answers = await Promise.all(Array.from({ length: STORM }, (_, n) => exec("lives", `echo ${n}`)));
      assert.deepEqual(
        answers,
        Array.from({ length: STORM }, (_, n) => `${n}\n`),
      );
      assert.equal((await eventsOf("lives")).filter(({ name }) => name === "woke").length, woken + 1);
    });

    it("sleeps and wakes over restarts of the server, and runs on over one while it is awake", async () => {
      const boot = await bootId("lives");
      await mags("sleep", "lives");
      await server.magsd("stop");
      await server.start();
      assert.equal((await statusOf("lives")).status, "sleeping");
      assert.equal(await bootId("lives"), boot);
      await server.magsd("stop");
      await server.start();
      assert.equal((await statusOf("lives")).status, "running");
      assert.equal(await bootId("lives"), boot);
    });

    it(`is right and has lost nothing after kill -9 of the server inside sleep, wake and resize (seed ${SEED})`, async () => {
      const random = createSeededRandom(SEED);
      const boot = await bootId("lives");
      let disk = (await statusOf("lives")).disk_gb;
      for (let round = 0; round < 3; round++)
        for (const action of ["sleep", "wake", "resize"] as const) {
          const what = `round ${round}, ${action}`;
          const call =
            action === "resize"
              ? server.api.call("PATCH", `${JOBS}/lives`, { disk_gb: ++disk })
              : server.api.call("POST", `${JOBS}/lives/${action}`);
          call.catch(() => {}); // its connection is cut
          await delay(random.next() * 1_200);
          await server.kill();
          await call.catch(() => {});
          await server.start();
          const { status } = await statusOf("lives");
          assert.ok(status === "running" || status === "sleeping", `${what}: ${status}`);
          const [counted] = [await count("lives")];
          assert.equal(await bootId("lives"), boot, what);
          await waitFor(async () => (await count("lives")) > counted, { what: `the counter after ${what}` });
          if (action === "wake") continue;
          if (action === "resize") {
            await mags("resize", "lives", "--disk", String(disk));
            const gib = Number(await exec("lives", "df --output=size -BM / | tail -1 | tr -dc 0-9")) / 1024;
            assert.ok(gib > disk * 0.9 && gib <= disk, `${what}: ${gib} GiB of ${disk}`);
          } else await mags("sleep", "lives"); // for the wake that comes next
        }
    });

    it("is gone when it is stopped", async () => {
      await mags("stop", "lives");
      assert.equal((await statusOf("lives")).status, "completed");
      await untilParkedOnly(server);
    });
  });

  describe("a sandbox that is left alone", { concurrency: 1 }, () => {
    let server: TestServer;
    before(async () => {
      server = await startServer();
    });
    after(() => server?.[Symbol.asyncDispose]());
    const { mags, exec, statusOf, untilStatus, eventsOf } = userOf(() => server);

    it("goes to sleep when nothing is done in it, by idle_minutes, and never with no_sleep", async () => {
      await mags("new", "dozes");
      await exec("dozes", COUNTER);
      await exec("dozes", TMUX);
      await exec("dozes", LISTENER);
      const { body } = await server.api.call("PATCH", `${JOBS}/dozes`, { idle_minutes: 1 });
      assert.equal((body as { success: boolean }).success, true);
      await mags("set", "dozes", "--no-sleep");
      await mags("set", "dozes", "--sleep");
      await exec("dozes", "pkill -f '[c]ount.py'");
      await untilStatus("dozes", "sleeping", 120_000);
      assert.equal((await eventsOf("dozes")).findLast(({ name }) => name === "slept")?.data.reason, "idle");
    });

    it("keeps its disk when its VM is lost, and is gone when it is stopped", async () => {
      await exec("dozes", "echo kept >/root/kept; sync");
      const { vm_id } = await statusOf("dozes");
      process.kill(await server.qemuPid(vm_id ?? ""), "SIGKILL");
      await untilStatus("dozes", "sleeping");
      assert.equal(await exec("dozes", "cat /root/kept"), "kept\n");
      const woke = (await eventsOf("dozes")).findLast(({ name }) => name === "woke");
      assert.equal(woke?.data.kind, "cold");
      await mags("stop", "dozes");
      assert.equal((await statusOf("dozes")).status, "completed");
      await untilParkedOnly(server);
    });
  });
});

import assert from "node:assert/strict";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { startServer, type TestServer } from "./harness/server.ts";

let server: TestServer;
before(async () => {
  server = await startServer();
});
after(() => server[Symbol.asyncDispose]());

async function eventsOf(id: string): Promise<{ name: string; message: string; data: Record<string, unknown> }[]> {
  const { body } = await server.api.call("GET", `/api/v1/mags-jobs/${id}/events`);
  return (body as { events: { name: string; message: string; data: Record<string, unknown> }[] }).events;
}

describe("a job", () => {
  it("runs its script in a VM with a kernel, a host name and a root of its own, and passes output and exit code on", async () => {
    const script = 'uname -r; hostname; id -un; pwd; echo "$0" | grep -c mags; echo to stderr >&2; exit 3';
    const { exitCode, text, errors } = await server.mags(["run", script]);
    assert.equal(exitCode, 3);
    assert.match(text, /^6\.\d+\.\d+\+deb13-cloud-amd64\nmags-vm\nroot\n\/root\n1\n$/);
    assert.equal(errors, "to stderr\n");
  });

  it("gets its environment, and the time-out ends it with 124", async () => {
    const env = await server.mags(["run", "--env", "GREETING=hello world", 'echo "$GREETING" $HOME $PATH']);
    assert.equal(env.text, "hello world /root /usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n");
    const slow = await server.mags(["run", "--timeout", "1", "echo begins; sleep 30"]);
    assert.equal(slow.exitCode, 124);
    assert.equal(slow.text, "begins\n");
  });

  it("may have a time-out of more milliseconds than timers hold", async () => {
    assert.equal(
      (await server.ended(await server.submit({ script: "sleep 1; exit 3", timeout: 2_592_000 }))).exit_code,
      3,
    );
  });

  it("that ignores SIGTERM is killed ten seconds after its time-out", async () => {
    const id = await server.submit({ script: "trap '' TERM; while :; do sleep 1; done", timeout: 1 });
    const status = await server.ended(id, 30_000);
    assert.equal(status.status, "completed");
    assert.equal(status.exit_code, 124);
    assert.ok((status.script_duration_ms ?? 0) >= 10_500, `${status.script_duration_ms} ms`);
  });

  it("whose first line names a program that the guest lacks is an error that says so", async () => {
    const status = await server.ended(await server.submit({ script: "#!/no/such/shell\necho x\n" }));
    assert.equal(status.status, "error");
    assert.match(status.error_message ?? "", /the guest has no \/no\/such\/shell/);
  });

  it("honours a shebang, and a script of nearly 1 MiB runs", async () => {
    const python = await server.mags(["run", "#!/usr/bin/env python3\nimport sys\nprint(sys.version_info.major)"]);
    assert.equal(python.text, "3\n");
    const script = `# ${"x".repeat(1024 * 1024 - 40)}\necho long`;
    assert.equal((await server.mags(["run", "--script-file", "-"], { input: script })).text, "long\n");
  });

  it("gives binary output back byte for byte, stdout and stderr apart", async () => {
    const { stdout, stderr, exitCode } = await server.mags(["run", "head -c 300000 /dev/urandom | tee /dev/stderr"]);
    assert.equal(exitCode, 0);
    assert.equal(stdout.length, 300_000);
    assert.ok(stdout.equals(stderr));
  });

  it("with a disk, memory and processors of its own size sees them", async () => {
    const script = "nproc; df -k --output=size / | tail -1; grep MemTotal /proc/meminfo";
    const args = ["run", "--disk", "5", "--memory", "1536", "--vcpus", "2", script];
    const { text, errors } = await server.mags(args);
    const [processors, disk, memory] = text.split("\n").map((line) => Number(/\d+/.exec(line)?.[0]));
    assert.equal(processors, 2, errors);
    assert.ok((disk ?? 0) > 4.5e6 && (disk ?? 0) < 5.3e6, `disk ${disk} KiB`);
    assert.ok((memory ?? 0) > 1.35e6 && (memory ?? 0) < 1.6e6, `memory ${memory} KiB`);
  });

  it("with only a larger disk starts warm, its disk given through the slot", async () => {
    await server.poolFilled(3);
    const id = await server.submit({ script: "df -k --output=size / | tail -1", disk_gb: 4 });
    assert.equal((await server.ended(id)).exit_code, 0);
    const started = (await eventsOf(id)).find((event) => event.name === "started");
    assert.equal(started?.data.origin, "slot", JSON.stringify(started));
  });

  it("of type url fetches its script inside the guest; a dead address is an error with curl's reason", async () => {
    const id = await server.submit({ type: "url", script: "http://no-such-host.invalid/x.sh" });
    const status = await server.ended(id);
    assert.equal(status.status, "error");
    assert.match(status.error_message ?? "", /no-such-host\.invalid.*could not be fetched.*resolve/i);
    assert.equal(status.exit_code, undefined);
  });

  it("whose script closes its output runs on to its end", async () => {
    const id = await server.submit({ script: "echo first; exec >&- 2>&-; sleep 1; exit 5" });
    assert.equal((await server.ended(id)).exit_code, 5);
  });

  it("leaves a process in the background behind when its script ends", async () => {
    const { text, exitCode } = await server.mags(["run", "sleep 1000 & setsid sleep 1000 & echo done"]);
    assert.equal(text, "done\n");
    assert.equal(exitCode, 0);
  });

  it("can be stopped: its script gets SIGTERM, its VM is gone when the call returns", async () => {
    const id = await server.submit({ script: "trap 'echo bye; exit 9' TERM; while :; do sleep 0.1; done" });
    const { vm_id = "" } = await waitFor(
      async () => ((await server.status(id)).vm_id ? server.status(id) : undefined),
      { what: "its VM" },
    );
    const pid = await server.qemuPid(vm_id);
    const stopped = await server.mags(["stop", id]);
    assert.equal(stopped.exitCode, 0, stopped.errors);
    assert.throws(() => process.kill(pid, 0), { code: "ESRCH" });
    const status = await server.status(id);
    assert.equal(status.status, "completed");
    assert.equal(status.exit_code, 9);
    assert.equal((await server.mags(["logs", id])).text, "bye\n");
    assert.equal((await server.mags(["stop", id])).exitCode, 0);

    const stubborn = await server.submit({ script: "trap '' TERM; while :; do sleep 0.1; done" });
    await waitFor(async () => (await server.status(stubborn)).vm_id, { what: "its VM" });
    await server.mags(["stop", stubborn]);
    const killed = await server.status(stubborn);
    assert.deepEqual([killed.status, killed.exit_code], ["completed", 137]);
  });
});

describe("exec", () => {
  it("runs commands beside the script, untouched, with their own output and exit code", async () => {
    const id = await server.submit({ script: "touch /tmp/mark; sleep 60" });
    await waitFor(async () => (await server.status(id)).status === "running", { what: "a running job" });
    const command = "ls /tmp/mark\nprintf '%s|' \"a b\" 'c\"d' $((1+1)); echo err >&2; exit 4";
    const { exitCode, text, errors } = await server.mags(["exec", id, command]);
    assert.equal(exitCode, 4);
    assert.equal(text, '/tmp/mark\na b|c"d|2|');
    assert.equal(errors, "err\n");
    const late = await server.api.call("POST", `/api/v1/mags-jobs/${id}/exec`, {
      command: "echo a; sleep 20",
      timeout: 0.5,
    });
    assert.deepEqual(late.body, { exit_code: 124, stdout: "a\n", stderr: "", timed_out: true });
    await server.mags(["stop", id]);
    const ended = await server.api.call("POST", `/api/v1/mags-jobs/${id}/exec`, { command: "true" });
    assert.equal(ended.status, 409);
    assert.match((ended.body as { error: string }).error, /not running/);
  });
});

describe("clones", () => {
  it("never share random numbers, machine ids or ssh identities, and know the time", async () => {
    const script = [
      "cat /proc/sys/kernel/random/uuid",
      "head -c 16 /dev/urandom | od -An -tx1 | tr -d ' '",
      "cat /etc/machine-id",
      "python3 -c 'import uuid, random; print(uuid.uuid4(), random.random())'",
      "ssh-keygen -q -t ed25519 -N '' -f /tmp/k && cut -d' ' -f2 /tmp/k.pub",
      "hostname",
    ].join("; ");
    const ids = await Promise.all(Array.from({ length: 6 }, () => server.submit({ script })));
    const outputs = await Promise.all(
      ids.map(async (id) => {
        await server.ended(id);
        return (await server.mags(["logs", id])).text.trimEnd().split("\n");
      }),
    );
    for (const lines of outputs) assert.equal(lines.length, 6, lines.join("\n"));
    for (let line = 0; line < 5; line++) {
      const values = outputs.map((lines) => lines[line]);
      assert.equal(new Set(values).size, ids.length, values.join("\n"));
    }
    assert.deepEqual([...new Set(outputs.map((lines) => lines[5]))], ["mags-vm"]);
    const { stdout } = await server.mags(["run", "ls /etc/ssh/ssh_host_* 2>/dev/null | wc -l"]);
    assert.equal(stdout.toString(), "0\n");
  });

  it("have a clock within 100 ms of the host's", async () => {
    const id = await server.submit({ script: "sleep 60" });
    await waitFor(async () => (await server.status(id)).status === "running", { what: "a running job" });
    for (let n = 0; n < 3; n++) {
      const before = Date.now();
      const reply = await server.api.call("POST", `/api/v1/mags-jobs/${id}/exec`, { command: "date +%s%N" });
      const after = Date.now();
      const guest = Number(BigInt((reply.body as { stdout: string }).stdout.trim()) / 1_000_000n);
      assert.ok(guest >= before - 100 && guest <= after + 100, `guest ${guest}, host ${before} to ${after}`);
    }
    await server.mags(["stop", id]);
  });
});

describe("bad input", () => {
  const cases: readonly [string, Record<string, unknown>, number, RegExp][] = [
    ["an empty script", { script: "" }, 400, /script.*empty/i],
    ["a script of blanks", { script: " \n\t" }, 400, /script.*empty/i],
    ["a script over 1 MiB", { script: "x".repeat(1024 * 1024 + 1) }, 400, /1048576/],
    ["a script with NUL", { script: "echo \0" }, 400, /NUL/],
    ["a wrong type", { script: 5 }, 400, /script/],
    ["an unknown type", { script: "true", type: "zip" }, 400, /inline/],
    ["a bad name", { script: "true", name: "-x" }, 400, /name/],
    ["a reserved name", { script: "true", name: "usage" }, 400, /name.*reserved/],
    ["an unknown image", { script: "true", rootfs_type: "nope" }, 400, /standard/],
    ["a base that is not there", { script: "true", base_workspace_id: "w" }, 400, /base_workspace_id.*mags sync w/],
    ["too many processors", { script: "true", vcpus: 10_000 }, 400, /vcpus/],
    ["a bad variable", { script: "true", environment: { "A-B": "c" } }, 400, /environment/],
  ];
  for (const [what, body, status, text] of cases) {
    it(`${what} is refused with a reason`, async () => {
      const reply = await server.api.call("POST", "/api/v1/mags-jobs", { type: "inline", persistent: false, ...body });
      assert.equal(reply.status, status, JSON.stringify(reply.body).slice(0, 300));
      assert.match((reply.body as { error: string }).error, text);
    });
  }

  it("a wrong token is 401, for the CLI one line that names the cure", async () => {
    const { exitCode, errors } = await server.mags(["list"], { env: { MAGS_API_TOKEN: `mags_${"0".repeat(64)}` } });
    assert.equal(exitCode, 1);
    assert.match(errors, /mags login/);
  });

  it("a script of Windows line ends runs", async () => {
    await using dir = await makeTempDir();
    const file = join(dir.path, "windows.sh");
    await writeFile(file, "#!/bin/sh\r\necho a\r\nif true; then\r\n  echo b\r\nfi\r\n");
    const { text } = await server.mags(["run", "--script-file", file]);
    assert.equal(text, "a\nb\n");
  });
});

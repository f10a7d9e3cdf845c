import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { after, before, describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import type { AgentConnection, GuestFailure, OpenOptions, StreamRecord } from "../../src/agent/index.ts";
import { type AgentVariant, type HostAgent, startHostAgent } from "./host-agent.ts";

const SIGKILL = 9;
const SIGTERM = 15;

/** True when the process exists and is not a zombie. */
async function isAlive(pid: number): Promise<boolean> {
  const stat = await readFile(`/proc/${pid}/stat`, "utf8").catch(() => "");
  return stat !== "" && !/\) [ZX] /.test(stat);
}

function failureOf(error: unknown): GuestFailure {
  assert.ok(isAppError(error, "guest_failed"));
  return error.details.failure as GuestFailure;
}

for (const variant of ["agent", "agent-asan"] satisfies AgentVariant[]) {
  describe(`commands run by ${variant}`, () => {
    let agent: HostAgent;
    let connection: AgentConnection;

    before(async () => {
      agent = await startHostAgent(variant);
      connection = await agent.connect();
    });
    after(async () => {
      assert.deepEqual(agent.violations, []);
      await agent[Symbol.asyncDispose]();
    });

    const sh = (command: string) => connection.run({ argv: ["/bin/sh", "-c", command] });
    const text = async (command: string) => (await sh(command)).stdout.toString();
    const failure = async (options: OpenOptions) => {
      const stream = connection.open(options);
      const error = await stream.opened.then(
        () => assert.fail("it was opened"),
        (reason: unknown) => reason,
      );
      await assert.rejects(stream.ended);
      return failureOf(error);
    };

    it("tells stdout from stderr, and gives the exit code and how long it took", async () => {
      const result = await sh("echo out; echo err >&2; exit 3");
      assert.equal(result.stdout.toString(), "out\n");
      assert.equal(result.stderr.toString(), "err\n");
      assert.equal(result.exitCode, 3);
      assert.equal(result.truncated, false);
      assert.ok(result.durationNs > 0);
    });

    it("numbers the records over both channels in the order in which they came", async () => {
      const records: StreamRecord[] = [];
      // Each line waits until the one before was read.
      const script = "for n in 1 2 3 4; do echo $n; read _; echo e$n >&2; read _; done";
      const stream = connection.open({
        kind: "exec",
        argv: ["/bin/sh", "-c", script],
        stdin: true,
        onRecord(record) {
          records.push(record);
          void stream.write(Buffer.from("\n"));
        },
      });
      await stream.ended;
      assert.deepEqual(
        records.map(({ seq, channel, offset, bytes }) => [seq, channel, offset, bytes.toString()]),
        [1, 2, 3, 4].flatMap((n, i) => [
          [2 * i, 1, 5 * i, `${n}\n`],
          [2 * i + 1, 2, 5 * i + 2, `e${n}\n`],
        ]),
      );
    });

    it("gathers what is printed in small pieces, and numbers an error after what was printed before it", async () => {
      const records: StreamRecord[] = [];
      const program = "import os\nfor n in range(20000): os.write(1, b'line\\n')\nos.write(2, b'error\\n')";
      const stream = connection.open({
        kind: "exec",
        argv: ["python3", "-c", program],
        onRecord: (record) => records.push(record),
      });
      await stream.ended;
      assert.ok(records.length < 10_000, `${records.length} records`);
      assert.equal(records.at(-1)?.bytes.toString(), "error\n");
      const printed = records.filter(({ channel }) => channel === 1);
      assert.equal(Buffer.concat(printed.map(({ bytes }) => bytes)).toString(), "line\n".repeat(20_000));
    });

    it("gives 128 and the number of the signal that ended a command", async () => {
      const stream = connection.open({ kind: "exec", argv: ["/bin/sh", "-c", "kill -SEGV $$"] });
      const end = await stream.ended;
      assert.deepEqual([end.exitCode, end.exitSignal, end.timedOut], [139, 11, false]);
    });

    it("says why a command could not be started", async () => {
      assert.deepEqual(await failure({ kind: "exec", argv: ["no-such-command"] }), {
        errno: 2,
        code: "ENOENT",
        step: "exec",
        message: "",
      });
      assert.equal((await failure({ kind: "exec", argv: ["/etc/passwd"] })).code, "EACCES");
      assert.equal((await failure({ kind: "exec", argv: [""] })).code, "ENOENT");
      assert.equal((await failure({ kind: "exec" })).code, "EINVAL");
      assert.equal((await failure({ kind: "exec", argv: ["true"], script: "true" })).code, "EINVAL");
      assert.deepEqual(await failure({ kind: "exec", argv: ["true"], cwd: "/no/such/place" }), {
        errno: 2,
        code: "ENOENT",
        step: "chdir",
        message: "",
      });
      assert.equal((await failure({ kind: "exec", argv: ["true"], window: 10 })).code, "EINVAL");
    });

    it("runs in the directory that was asked for, /root by default", async () => {
      const { stdout } = await connection.run({ argv: ["pwd"], cwd: "/usr/lib" });
      assert.equal(stdout.toString(), "/usr/lib\n");
      assert.equal(await text("pwd"), "/root\n");
    });

    it("gives a command a clean environment: defaults, then the image's, then the caller's", async () => {
      await mkdir(`${agent.root}/etc`, { recursive: true });
      await writeFile(
        `${agent.root}/etc/environment`,
        '# comment\nexport QUOTED="two words"\r\nLANG=xx_XX\nMINE=image\nHASH=a#b\nnonsense\n=odd\n',
      );
      const { stdout } = await connection.run({
        argv: ["env"],
        environment: { MINE: "caller", USER: "somebody", EMPTY: "", UMLAUT: "ä=ö" },
      });
      await writeFile(`${agent.root}/etc/environment`, "");
      const lines = stdout.toString().trimEnd().split("\n").toSorted();
      assert.deepEqual(
        lines.filter((line) => !line.startsWith("SHELL=")),
        [
          "EMPTY=",
          "HASH=a#b",
          "HOME=/root",
          "LANG=xx_XX",
          "LOGNAME=root",
          "MINE=caller",
          "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
          "QUOTED=two words",
          "UMLAUT=ä=ö",
          "USER=somebody",
        ],
      );
    });

    it("looks a command up in the PATH that it is given", async () => {
      await writeFile(`${agent.root}/only-here`, "#!/bin/sh\necho found\n", { mode: 0o755 });
      const { stdout } = await connection.run({ argv: ["only-here"], environment: { PATH: `/nowhere:${agent.root}` } });
      assert.equal(stdout.toString(), "found\n");
    });

    it("starts a command with default signals, its own session and group, and no stray descriptors", async () => {
      const status = await text("cat /proc/self/status; ls /proc/self/fd | wc -l; umask; ps -o pid=,pgid=,sid= -p $$");
      assert.match(status, /SigBlk:\t0+\n/);
      assert.match(status, /SigIgn:\t0+\n/);
      const [fds, umask, ids] = status.trim().split("\n").slice(-3);
      assert.equal(fds?.trim(), "4"); // three, and the directory that ls reads
      assert.equal(umask, "0022");
      const [pid, group, session] = (ids ?? "").trim().split(/\s+/);
      assert.deepEqual([group, session], [pid, pid]);
    });

    it("carries input to the command, and its end", async () => {
      const input = Buffer.alloc(3_000_000, "0123456789abcdef\n");
      const { stdout, exitCode } = await connection.run({ argv: ["cat"], input, maxBytes: 1 << 26 });
      assert.equal(exitCode, 0);
      assert.ok(stdout.equals(input));
    });

    it("gives a command without input an empty one", async () => {
      assert.equal((await connection.run({ argv: ["cat"] })).stdout.length, 0);
    });

    it("does not mind a command that never reads its input", async () => {
      const { exitCode } = await connection.run({ argv: ["true"], input: Buffer.alloc(1_000_000) });
      assert.equal(exitCode, 0);
    });

    it("cuts collected output at the cap and says so", async () => {
      const result = await connection.run({ argv: ["head", "-c", "500000", "/dev/zero"], maxBytes: 1000 });
      assert.equal(result.stdout.length, 1000);
      assert.equal(result.truncated, true);
    });

    it("signals the whole process group", async () => {
      const stream = connection.open({
        kind: "exec",
        argv: [
          "/bin/sh",
          "-c",
          "sh -c 'trap \"echo child; exit 0\" TERM; echo ready; while :; do sleep 0.01; done' & wait",
        ],
        killGroup: false,
        onRecord: ({ bytes }) => output.push(bytes.toString()),
      });
      const output: string[] = [];
      await waitFor(() => output.length > 0, { what: "the child" });
      stream.signal(SIGTERM);
      const end = await stream.ended;
      assert.equal(end.exitSignal, SIGTERM);
      // The shell may tell of the end of its sleep.
      assert.match(output.join(""), /^ready\n(Terminated\n)?child\n$/);
    });

    it("kills what is left of the group when the command ends", async () => {
      const result = await sh("sleep 1000 & echo $!; exit 7");
      assert.equal(result.exitCode, 7);
      const pid = Number(result.stdout.toString());
      await waitFor(async () => !(await isAlive(pid)), { what: "the end of the child" });
    });

    it("leaves alone a process that left the group, and does not wait for its output", async () => {
      const file = `${agent.root}/daemon`;
      const { stdout } = await sh(
        `setsid sh -c 'echo daemon; echo $$ > ${file}; exec sleep 1000' & while ! [ -s ${file} ]; do sleep 0.01; done`,
      );
      assert.equal(stdout.toString(), "daemon\n");
      const pid = Number(await readFile(file, "utf8"));
      assert.ok(await isAlive(pid));
      process.kill(pid, SIGKILL);
    });

    it("leaves a process alone that is about to leave the group when the command ends, and kills the others", async () => {
      const script = `for n in 1 2 3 4 5 6 7 8; do setsid sleep 1007 & done; sleep 1008 &`;
      const { durationNs } = await connection.run({ script: `{ ${script} } >/dev/null 2>&1` });
      assert.ok(durationNs < 1e9);
      const left = await text("pgrep -xc -f 'sleep 1007'; pgrep -xc -f 'sleep 1008'; pkill -x -f 'sleep 1007'");
      assert.equal(left, "8\n0\n");
    });

    it("waits for the output of the rest of the group when it is not to be killed", async () => {
      const stream = connection.open({
        kind: "exec",
        argv: ["/bin/sh", "-c", "(sleep 0.3; echo late) & echo early"],
        killGroup: false,
        onRecord: ({ bytes }) => output.push(bytes.toString()),
      });
      const output: string[] = [];
      const end = await stream.ended;
      assert.equal(output.join(""), "early\nlate\n");
      assert.equal(end.exitCode, 0);
      assert.ok(end.durationNs < 250_000_000, "the time of the command, not of what it left behind");
    });

    it("ends a command after its time: SIGTERM, then SIGKILL", async () => {
      const polite = await connection.run({
        argv: ["/bin/sh", "-c", "trap 'echo bye; exit 5' TERM; while :; do sleep 0.01; done"],
        timeoutMs: 300,
      });
      assert.deepEqual([polite.exitCode, polite.timedOut, polite.stdout.toString()], [124, true, "bye\n"]);
      const stream = connection.open({
        kind: "exec",
        argv: ["/bin/sh", "-c", "trap '' TERM; while :; do sleep 0.01; done"],
        timeoutMs: 100,
        killAfterMs: 200,
      });
      const end = await stream.ended;
      assert.deepEqual([end.exitCode, end.exitSignal, end.timedOut], [137, SIGKILL, true]);
      assert.ok(end.durationNs >= 300_000_000);
    });

    it("does not count a time-out that comes after the end", async () => {
      assert.equal((await connection.run({ argv: ["true"], timeoutMs: 5_000 })).timedOut, false);
    });

    it("kills the group of a stream that is closed, and of a command whose signal aborts", async () => {
      const file = `${agent.root}/child`;
      const child = async () => Number(await readFile(file, "utf8").catch(() => "")) || null;
      const argv = ["/bin/sh", "-c", `sleep 1001 & echo $! > ${file}; wait`];
      for (const how of ["close", "abort"]) {
        await writeFile(file, "");
        const abort = new AbortController();
        const stream = how === "close" ? connection.open({ kind: "exec", argv }) : null;
        const running = stream ? stream.ended : connection.run({ argv }, { signal: abort.signal });
        const rejected = assert.rejects(running, /closed|enough/);
        const pid = await waitFor(child, { what: "the command" });
        stream?.close();
        abort.abort(new Error("enough"));
        await rejected;
        await waitFor(async () => !(await isAlive(pid)), { what: "the end of the command" });
      }
    });

    it("runs scripts by their #! line, and by /bin/sh without one", async () => {
      const python = await connection.run({
        script: "#!/usr/bin/env python3\nimport sys\nprint(sys.version_info[0])\n",
      });
      assert.equal(python.stdout.toString(), "3\n");
      const plain = await connection.run({ script: "echo $0; echo plain" });
      assert.match(plain.stdout.toString(), /\/run\/mags\/script-\d+\nplain\n$/);
      assert.equal((await failure({ kind: "exec", script: "#!/no/such/interpreter\n" })).code, "ENOENT");
      assert.equal((await connection.run({ script: "" })).exitCode, 0);
    });

    it("takes scripts of 1 MiB, byte for byte, and removes them in the end", async () => {
      const filler = Buffer.alloc(1024 * 1024 - 60, "# äß\n");
      const script = Buffer.concat([Buffer.from("#!/bin/sh\nsha256sum < $0; wc -c < $0\n"), filler]);
      const { stdout } = await connection.run({ script });
      assert.equal(stdout.toString(), `${createHash("sha256").update(script).digest("hex")}  -\n${script.length}\n`);
      assert.deepEqual(await readdir(`${agent.root}/run/mags`), []);
    });

    it("refuses a message beyond 2 MiB", async () => {
      const { code } = await failure({ kind: "exec", script: Buffer.alloc(2 * 1024 * 1024) });
      assert.equal(code, "EMSGSIZE");
    });

    it("opens a stream with ONCE only once for a key, and not at all counts one that could not be opened", async () => {
      const key = Buffer.from("only-once");
      assert.equal((await failure({ kind: "exec", argv: ["/no/such"], key, once: true })).code, "ENOENT");
      await connection.open({ kind: "exec", argv: ["true"], key, once: true }).ended;
      assert.deepEqual(await failure({ kind: "exec", argv: ["true"], key, once: true }), {
        errno: 17,
        code: "EEXIST",
        step: "ONCE",
        message: "",
      });
      await connection.open({ kind: "exec", argv: ["true"], key }).ended;
    });

    it("remembers 4096 keys for ONCE and refuses one more", async () => {
      await using other = await startHostAgent(variant);
      const client = await other.connect();
      const open = (n: number) =>
        client.open({ kind: "list", path: "/proc/self/fdinfo", key: Buffer.from(`key ${n}`), once: true }).ended;
      for (let n = 0; n < 4096; n += 128) await Promise.all(Array.from({ length: 128 }, (_, i) => open(n + i)));
      await assert.rejects(open(4096), /ENOSPC/);
      await assert.rejects(open(17), /EEXIST/);
    });

    it("has room for 256 streams and refuses one more", async () => {
      const streams = Array.from({ length: 256 }, () => connection.open({ kind: "exec", argv: ["sleep", "1002"] }));
      await Promise.all(streams.map(({ opened }) => opened));
      assert.equal((await failure({ kind: "exec", argv: ["true"] })).code, "EMFILE");
      for (const stream of streams) stream.close();
      assert.equal((await sh("exit 4")).exitCode, 4);
    });

    it("runs many commands at a time", async () => {
      const results = await Promise.all(Array.from({ length: 100 }, (_, n) => sh(`echo ${n}; exit ${n}`)));
      assert.deepEqual(
        results.map(({ stdout, exitCode }) => [stdout.toString(), exitCode]),
        Array.from({ length: 100 }, (_, n) => [`${n}\n`, n]),
      );
    });

    it("leaves no zombies behind", async () => {
      await sh("for n in 1 2 3; do (sleep 0.01 &) ; done");
      const zombies = async () => (await text(`ps -o stat= --ppid ${agent.pid} | grep -c Z; true`)).trim();
      await waitFor(async () => (await zombies()) === "0", { what: "the last zombie" });
    });
  });
}

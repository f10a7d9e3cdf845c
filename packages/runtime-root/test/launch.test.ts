import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { once } from "node:events";
import {
  chmodSync,
  closeSync,
  copyFileSync,
  existsSync,
  mkdirSync,
  mkdtempSync,
  openSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { connect } from "node:net";
import { tmpdir } from "node:os";
import { join, resolve } from "node:path";
import { createInterface } from "node:readline";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { fileLimitCommand, handOverCommand, type LaunchSpec, launchCommand, type RuntimeRoot } from "../src/index.ts";

const LAUNCHER_SOURCES = resolve(import.meta.dirname, "../../../native/launcher");
const UID = 1_910_000_123;
const GID = 1_910_000_124;
const SCHED_OTHER = 0;
const SCHED_IDLE = 5;

interface Report {
  readonly uid: readonly number[];
  readonly gid: readonly number[];
  readonly groups: number;
  readonly pid: number;
  readonly maxOpenFiles: number;
  readonly coreLimit: number;
  readonly lockLimit: number;
  readonly maxFileMiB: number;
  readonly policy: number;
  readonly cwd: string;
  readonly capabilities: number;
  readonly bounding: number;
  readonly noNewPrivs: number;
  readonly env: readonly string[];
  readonly root: readonly string[];
  readonly dev: readonly string[];
  readonly vm: readonly string[];
  readonly above: readonly string[];
  readonly descriptors: readonly number[];
  readonly taps: readonly { readonly fd: number; readonly name: string; readonly vnetHeader: boolean }[];
  readonly interfaces: readonly string[];
  readonly writeRoot: string;
  readonly writeDev: string;
  readonly writeTmp: string;
  readonly writeShm: string;
  readonly writeVm: string;
  readonly writeImage: string;
  readonly openNull: string;
  readonly openRandom: string;
  readonly openKvm: string;
  readonly become0: string;
}

const BASE: LaunchSpec = { program: "/probe", args: [], binds: [], uid: UID, gid: GID, env: {} };
const asRoot = process.getuid?.() === 0;

describe("mags-launch", { skip: asRoot ? false : "needs root: it makes mount namespaces and changes the user" }, () => {
  let scratch = "";
  let root: RuntimeRoot;

  before(() => {
    execFileSync("make", ["-s", "-C", LAUNCHER_SOURCES, "test"], { stdio: ["ignore", "ignore", "inherit"] });
    scratch = mkdtempSync(join(tmpdir(), "mags-"));
    chmodSync(scratch, 0o755);
    const dir = join(scratch, "root");
    for (const name of ["vm", "image", "dev", "tmp", "empty"]) mkdirSync(join(dir, name), { recursive: true });
    copyFileSync(join(LAUNCHER_SOURCES, "build/probe"), join(dir, "probe"));
    root = { dir, launcher: join(LAUNCHER_SOURCES, "build/mags-launch") };
  });

  after(() => rmSync(scratch, { recursive: true, force: true }));

  function launch(changes: Partial<LaunchSpec> = {}) {
    const { file, args } = launchCommand(root, { ...BASE, ...changes });
    return spawnSync(file, args, { encoding: "utf8", env: { SECRET: "of the caller" } });
  }

  function report(changes: Partial<LaunchSpec> = {}): Report {
    const result = launch(changes);
    assert.equal(result.stderr, "");
    assert.equal(result.status, 0);
    return JSON.parse(result.stdout);
  }

  it("becomes the given user and group for good, with no groups, capabilities or new privileges", () => {
    const seen = report();
    assert.deepEqual(seen.uid, [UID, UID, UID]);
    assert.deepEqual(seen.gid, [GID, GID, GID]);
    assert.equal(seen.groups, 0);
    assert.equal(seen.capabilities, 0);
    assert.equal(seen.bounding, 0);
    assert.equal(seen.noNewPrivs, 1);
    assert.equal(seen.become0, "EPERM");
  });

  it("passes the given environment and nothing of the caller's", () => {
    assert.deepEqual(report().env, []);
    assert.deepEqual(report({ env: { A: "1 = one", EMPTY: "" } }).env, ["A=1 = one", "EMPTY="]);
  });

  it("shows the root read-only and nothing of the host, not even above it", () => {
    const seen = report();
    const names = ["dev", "empty", "image", "probe", "tmp", "vm"];
    assert.deepEqual([...seen.root].sort(), names);
    assert.deepEqual([...seen.above].sort(), names);
    assert.equal(seen.writeRoot, "EROFS");
  });

  it("offers null, zero, full, random and urandom, and no other device", () => {
    const seen = report();
    assert.deepEqual([...seen.dev].sort(), ["full", "null", "random", "urandom", "zero"]);
    assert.equal(seen.openNull, "ok");
    assert.equal(seen.openRandom, "ok");
    assert.equal(seen.openKvm, "ENOENT");
    assert.equal(seen.writeDev, "EROFS");
  });

  it("gives /tmp and /dev/shm that end with the program when asked, else no place to write", () => {
    const scratch = report({ scratch: true });
    assert.deepEqual([scratch.writeTmp, scratch.writeShm], ["ok", "ok"]);
    assert.equal(existsSync(join(root.dir, "dev/shm")), false);
    const without = report();
    assert.deepEqual([without.writeTmp, without.writeShm], ["EROFS", "ENOENT"]);
  });

  it("binds host folders, writable or read-only", () => {
    const own = join(scratch, "own");
    const shared = join(scratch, "shared");
    mkdirSync(own);
    mkdirSync(shared);
    writeFileSync(join(own, "disk.qcow2"), "");
    chmodSync(own, 0o777);
    chmodSync(shared, 0o777);
    const seen = report({
      binds: [
        { source: own, target: "/vm", readOnly: false },
        { source: shared, target: "/image", readOnly: true },
      ],
      cwd: "/vm",
    });
    assert.deepEqual(seen.vm, ["disk.qcow2"]);
    assert.equal(seen.writeVm, "ok");
    assert.equal(seen.writeImage, "EROFS");
    assert.equal(seen.cwd, "/vm");
  });

  it("leaves no mount behind on the host", () => {
    report();
    assert.equal(readFileSync("/proc/self/mountinfo", "utf8").includes(scratch), false);
  });

  it("closes what it inherited and sets the limits", () => {
    const { file, args } = launchCommand(root, { ...BASE, maxOpenFiles: 77, maxFileBytes: 5 * 1024 ** 2 });
    const stdio = ["ignore", "pipe", "inherit", "pipe", "pipe", "pipe"] as const;
    const seen: Report = JSON.parse(spawnSync(file, args, { encoding: "utf8", stdio: [...stdio] }).stdout);
    assert.deepEqual(seen.descriptors, [0, 1, 2]);
    assert.equal(seen.maxOpenFiles, 77);
    assert.equal(seen.maxFileMiB, 5);
    assert.deepEqual([seen.coreLimit, seen.lockLimit], [0, 0]);
  });

  it("changes the limit on files of a program that runs, within what it was given, if it is that user's", async () => {
    const { file, args } = launchCommand(root, {
      ...BASE,
      maxFileBytes: 2048,
      mostFileBytes: 8192,
      args: ["hold", "0"],
    });
    await using child = held(spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] }));
    await child.saidHolding;
    const change = (process: { pid?: number; uid?: number }, bytes = 4096) => {
      const command = fileLimitCommand(root, { pid: child.pid ?? 0, uid: UID, gid: GID, ...process }, bytes);
      return spawnSync(command.file, command.args, { encoding: "utf8" }).stderr;
    };
    const limits = () => /^Max file size +(\d+) +(\d+)/m.exec(readFileSync(`/proc/${child.pid}/limits`, "utf8"));
    assert.match(
      change({ uid: UID + 1 }),
      /^mags-launch: change resource limit 1 of process \d+ to 4096: .*not permitted/,
    );
    assert.deepEqual(limits()?.slice(1), ["2048", "8192"]);
    assert.equal(change({}), "");
    assert.deepEqual(limits()?.slice(1), ["4096", "8192"]);
    assert.match(change({}, 8193), /^mags-launch: change resource limit 1 of process \d+ to 8193: /);
    assert.deepEqual(limits()?.slice(1), ["4096", "8192"]);
    assert.match(change({ pid: spawnSync("true").pid }), /No such process/);
  });

  it("makes sockets for the program to listen on, which root alone may connect to", async () => {
    const paths = [join(scratch, "one.sock"), join(scratch, "two.sock")];
    const listeners = paths.map((path, n) => ({ path, fd: 4 + n }));
    assert.deepEqual(report({ listeners }).descriptors, [0, 1, 2, 4, 5]);
    for (const path of paths) {
      assert.equal(statSync(path).mode & 0o777, 0o600);
      assert.equal(statSync(path).uid, 0);
      rmSync(path);
    }
    const { file, args } = launchCommand(root, { ...BASE, listeners, args: ["serve", "5"], systemCalls: "qemu" });
    const server = spawn(file, args, { stdio: ["ignore", "ignore", "inherit"] });
    try {
      await waitFor(() => existsSync(paths[1] ?? ""), { what: "the socket" });
      let answer = "";
      for await (const chunk of connect(paths[1] ?? "")) answer += chunk;
      assert.equal(answer, "served\n");
    } finally {
      server.kill("SIGKILL");
      await once(server, "exit");
    }
  });

  describe("hands a socket over", () => {
    /** Runs the command with one end of a connection, takes what comes at the other, and serves one client there. */
    const RECEIVER = `
import os, socket, subprocess, sys
ours, theirs = socket.socketpair()
ended = subprocess.run(sys.argv[1:], preexec_fn=lambda: os.dup2(theirs.fileno(), 3), pass_fds=[3])
ours.setblocking(False)
message, descriptors, _, _ = socket.recv_fds(ours, 1000, 4)
print(ended.returncode, len(descriptors), message.decode(), flush=True)
connection, _ = socket.socket(fileno=descriptors[0]).accept()
connection.sendall(b"served")
`;

    it("with a message, to whoever is at the other end of the connection", async () => {
      const path = join(scratch, "handed.sock");
      const { file, args } = handOverCommand(root, path, '{"for": "you"}');
      const receiver = spawn("python3", ["-c", RECEIVER, file, ...args], { stdio: ["ignore", "pipe", "inherit"] });
      const gone = once(receiver, "exit");
      const { value: line } = await createInterface({ input: receiver.stdout })[Symbol.asyncIterator]().next();
      assert.equal(line, '0 1 {"for": "you"}');
      assert.equal(statSync(path).mode & 0o777, 0o600);
      let answer = "";
      for await (const chunk of connect(path)) answer += chunk;
      assert.equal(answer, "served");
      await gone;
    });

    it("not without a connection, and not where something is already", () => {
      const path = join(scratch, "kept.sock");
      const { file, args } = handOverCommand(root, path, "");
      const plain = openSync(join(scratch, "plain"), "w");
      const attempt = () => spawnSync(file, args, { encoding: "utf8", stdio: ["ignore", "ignore", "pipe", plain] });
      assert.equal(attempt().stderr, `mags-launch: hand ${path} over: Socket operation on non-socket (errno 88)\n`);
      assert.equal(attempt().stderr, `mags-launch: bind a socket to ${path}: Address already in use (errno 98)\n`);
      closeSync(plain);
    });
  });

  it("opens /dev/kvm for the user when asked to", { skip: existsSync("/dev/kvm") ? false : "no /dev/kvm here" }, () => {
    const seen = report({ kvm: true });
    assert.equal(seen.dev.includes("kvm"), true);
    assert.equal(seen.openKvm, "ok");
  });

  it("becomes the program: same process, its arguments, its exit code", () => {
    const { file, args } = launchCommand(root, { ...BASE, args: ["a b", "--idle"] });
    const child = spawnSync(file, args, { encoding: "utf8" });
    assert.equal(JSON.parse(child.stdout).pid, child.pid);
  });

  describe("with a network namespace", () => {
    const name = `mags-test-${process.pid}`;
    const ip = (...args: string[]) => execFileSync("ip", args, { stdio: ["ignore", "ignore", "inherit"] });

    before(() => {
      ip("netns", "add", name);
      ip("-n", name, "tuntap", "add", "tap0", "mode", "tap", "vnet_hdr");
    });
    after(() => ip("netns", "delete", name));

    it("runs the program there", () => {
      assert.deepEqual([...report({ netns: `/run/netns/${name}` }).interfaces].sort(), ["lo", "tap0"]);
    });

    it("passes the tap as the asked descriptor although the program cannot open it itself", () => {
      const seen = report({ netns: `/run/netns/${name}`, tap: { name: "tap0", fd: 9 } });
      assert.deepEqual(seen.descriptors, [0, 1, 2, 9]);
      assert.deepEqual(seen.taps, [{ fd: 9, name: "tap0", vnetHeader: true }]);
    });

    it("refuses a tap that nobody made, instead of making one", () => {
      const result = launch({ netns: `/run/netns/${name}`, tap: { name: "tap1", fd: 9 } });
      assert.equal(result.status, 125);
      assert.equal(result.stderr, "mags-launch: find tap tap1 in the network namespace: No such device (errno 19)\n");
    });
  });

  describe("priority", () => {
    const policyOf = (tid: string) => {
      const fields = readFileSync(`/proc/${tid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      return Number(fields[38]); // field 41 of proc_pid_stat(5); the split took the first two
    };

    const niceOf = (tid: string) => {
      const fields = readFileSync(`/proc/${tid}/stat`, "utf8").split(") ")[1]?.split(" ") ?? [];
      return Number(fields[16]); // field 19
    };

    it("is normal unless asked otherwise", () => {
      assert.equal(report().policy, SCHED_OTHER);
    });

    it("has the nice value that was asked for, not the caller's", async () => {
      for (const nice of [undefined, -5, 7]) {
        const { file, args } = launchCommand(root, {
          ...BASE,
          ...(nice === undefined ? {} : { nice }),
          args: ["hold", "0"],
        });
        await using child = held(spawn("nice", ["-n", "-3", file, ...args], { stdio: ["pipe", "pipe", "inherit"] }));
        await child.saidHolding;
        assert.equal(niceOf(String(child.pid)), nice ?? 0);
      }
    });

    it("is idle when asked, and --resched brings every thread back", async () => {
      const { file, args } = launchCommand(root, { ...BASE, idlePriority: true, args: ["hold", "5"] });
      await using child = held(spawn(file, args, { stdio: ["pipe", "pipe", "inherit"] }));
      await child.saidHolding;
      const threads = execFileSync("ls", [`/proc/${child.pid}/task`], { encoding: "utf8" })
        .trim()
        .split("\n");
      assert.equal(threads.length, 6);
      assert.deepEqual(threads.map(policyOf), Array(6).fill(SCHED_IDLE));
      const resched = spawnSync(root.launcher, ["--resched", String(child.pid)], { encoding: "utf8" });
      assert.deepEqual([resched.status, resched.stderr], [0, ""]);
      assert.deepEqual(threads.map(policyOf), Array(6).fill(SCHED_OTHER));
    });

    it("cannot be changed for a process that is gone", () => {
      const gone = spawnSync("true").pid;
      const result = spawnSync(root.launcher, ["--resched", String(gone)], { encoding: "utf8" });
      assert.equal(result.status, 125);
      assert.equal(
        result.stderr,
        `mags-launch: list the threads of process ${gone}: No such file or directory (errno 2)\n`,
      );
    });
  });

  describe("says in one line what went wrong and exits with 125", () => {
    const failures: readonly [string, Partial<LaunchSpec>, string][] = [
      ["a missing program", { program: "/nowhere" }, "run /nowhere: No such file or directory (errno 2)"],
      [
        "a missing bind source",
        { binds: [{ source: "/nowhere/at-all", target: "/vm", readOnly: true }] },
        "bind /nowhere/at-all on /vm: No such file or directory (errno 2)",
      ],
      [
        "a bind target that the root lacks",
        { binds: [{ source: "/usr", target: "/nowhere", readOnly: true }] },
        "bind /usr on /nowhere: No such file or directory (errno 2)",
      ],
      [
        "a missing network namespace",
        { netns: "/run/netns/mags-none" },
        "open network namespace /run/netns/mags-none: No such file or directory (errno 2)",
      ],
      [
        "a socket in a folder that is not there",
        { listeners: [{ path: "/nowhere/sock", fd: 4 }] },
        "bind a socket to /nowhere/sock: No such file or directory (errno 2)",
      ],
      [
        "a socket whose path is too long",
        { listeners: [{ path: `/${"x".repeat(108)}`, fd: 4 }] },
        `listen at /${"x".repeat(108)}: the path is longer than 107 bytes`,
      ],
      [
        "a missing working directory",
        { cwd: "/nowhere" },
        "enter the working directory /nowhere: No such file or directory (errno 2)",
      ],
    ];
    for (const [what, spec, message] of failures) {
      it(what, () => {
        const result = launch(spec);
        assert.equal(result.stderr, `mags-launch: ${message}\n`);
        assert.equal(result.status, 125);
      });
    }

    const refusals: readonly [string, readonly string[], string][] = [
      ["a limit of another kind", ["--limit", "cpu", "1"], "--limit takes nofile, fsize, nproc or as, not 'cpu'"],
      ["another filter", ["--seccomp", "none"], "--seccomp takes qemu, not 'none'"],
      [
        "a descriptor twice",
        ["--listen", "/a", "4", "--tap", "t", "4"],
        "--tap takes a descriptor of its own, not 4 again",
      ],
      ["an unknown option", ["--what"], "unknown option '--what'"],
      ["user 0", ["--root", "/r", "--uid", "0"], "--uid takes a number from 1 to 4294967294, not '0'"],
      ["a missing user", ["--root", "/r", "--", "/p"], "--uid is missing; programs never run as user 0"],
      ["a target that climbs out", ["--bind", "/a", "/vm/../.."], "without '..', not '/vm/../..'"],
      ["a value that is not there", ["--root"], "--root lacks a value"],
      [
        "a limit that is no number",
        ["--limit", "nofile", "many"],
        "--limit takes a number from 1 to 4611686018427387904, not 'many'",
      ],
      ["a hand-over without its message", ["--hand-over", "/a"], "--hand-over lacks a value"],
      [
        "a hand-over with more",
        ["--hand-over", "/a", "b", "c"],
        "--hand-over takes a path, a message and nothing else",
      ],
      ["no program", ["--root", "/r", "--uid", "7", "--gid", "7", "--"], "the program is missing after --"],
    ];
    for (const [what, args, message] of refusals) {
      it(`${what}, with the usage`, () => {
        const result = spawnSync(root.launcher, args, { encoding: "utf8" });
        assert.equal(result.status, 125);
        const [first, second] = result.stderr.split("\n");
        assert.ok(first?.includes(message), first);
        assert.ok(second?.startsWith("usage: mags-launch --root DIR"), second);
      });
    }
  });
});

/** A child that is killed at the end of the block and announces itself by the line `holding`. */
function held(child: ChildProcess) {
  let output = "";
  const saidHolding = new Promise<void>((resolve, reject) => {
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      output += text;
      if (output.includes("\nholding\n")) resolve();
    });
    child.once("exit", (code) => reject(new Error(`the program ended with ${code}: ${output}`)));
  });
  return {
    pid: child.pid,
    saidHolding,
    async [Symbol.asyncDispose]() {
      const gone = new Promise((resolve) => child.once("exit", resolve));
      child.kill("SIGKILL");
      await gone;
    },
  };
}

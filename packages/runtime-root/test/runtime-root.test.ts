import assert from "node:assert/strict";
import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import { chownSync, mkdirSync, readFileSync, statSync, writeFileSync } from "node:fs";
import { connect } from "node:net";
import { join } from "node:path";
import { before, describe, it } from "node:test";
import { findArtifacts, makeTempDir, waitFor } from "@mags/test-kit";
import { type LaunchSpec, launchCommand, type RuntimeRoot, toolCommand } from "../src/index.ts";

const QEMU_UID = 1_910_000_042;
const POSTGRES_UID = 1_910_000_000;
const MiB = 1024 * 1024;
const asRoot = process.getuid?.() === 0;

describe("the runtime root", { skip: asRoot ? false : "needs root: programs run jailed" }, () => {
  let root: RuntimeRoot;
  let boot = { kernel: "", initramfs: "" };
  let image = "";

  before(() => {
    const artifacts = findArtifacts();
    root = { dir: artifacts.runtime, launcher: artifacts.launcher };
    boot = artifacts.boot;
    image = artifacts.images.standard?.base ?? "";
  });

  /** Runs a program jailed to its end, with `dir` as its /vm or /data. */
  function runJailed(spec: Pick<LaunchSpec, "program" | "args" | "binds"> & { readonly uid: number }) {
    const { file, args } = launchCommand(root, { ...spec, gid: spec.uid, env: ENVIRONMENT, scratch: true });
    const result = spawnSync(file, args, { encoding: "utf8" });
    assert.equal(result.status, 0, `${spec.program}: ${result.stderr}`);
    return result.stdout;
  }

  function runTool(program: string, ...args: string[]) {
    const command = toolCommand(root, program, args);
    return execFileSync(command.file, command.args, { encoding: "utf8", stdio: ["ignore", "pipe", "pipe"] });
  }

  it("makes an empty disk of any size, always the same, that holds up/ and work/ for the overlay", async () => {
    await using temp = await makeTempDir();
    chownSync(temp.path, QEMU_UID, QEMU_UID);
    const binds = [{ source: temp.path, target: "/data", readOnly: false }];
    const make = (name: string, bytes: number) =>
      runJailed({ program: "/usr/lib/mags/make-disk", args: [String(bytes), `/data/${name}`], binds, uid: QEMU_UID });
    make("a.qcow2", 3072 * MiB);
    make("b.qcow2", 3072 * MiB);
    assert.deepEqual(readFileSync(join(temp.path, "a.qcow2")), readFileSync(join(temp.path, "b.qcow2")));
    assert.ok(statSync(join(temp.path, "a.qcow2")).size < 1.5 * MiB);
    const info = JSON.parse(runTool("/usr/bin/qemu-img", "info", "--output=json", join(temp.path, "a.qcow2")));
    assert.equal(info["virtual-size"], 3072 * MiB);

    runTool("/usr/bin/qemu-img", "convert", "-O", "raw", join(temp.path, "a.qcow2"), join(temp.path, "raw"));
    const listing = runTool("/usr/sbin/debugfs", "-R", "ls -l /", join(temp.path, "raw"));
    for (const name of ["up", "work"]) assert.match(listing, new RegExp(`40755 \\(2\\)\\s+0\\s+0 .* ${name}\\s`));
    runTool("/usr/sbin/e2fsck", "-f", "-n", join(temp.path, "raw"));
  });

  it("refuses a disk size that makes no sense", () => {
    const { file, args } = launchCommand(root, {
      program: "/usr/lib/mags/make-disk",
      args: ["1000", "/tmp/disk.qcow2"],
      binds: [],
      uid: QEMU_UID,
      gid: QEMU_UID,
      env: ENVIRONMENT,
    });
    const result = spawnSync(file, args, { encoding: "utf8" });
    assert.equal(result.status, 2);
    assert.match(result.stderr, /at least 256 MiB/);
  });

  it("boots the guest kernel in a jailed QEMU with the devices of a microVM, and saves its state", async () => {
    await using temp = await makeTempDir();
    chownSync(temp.path, QEMU_UID, QEMU_UID);
    const { file, args } = launchCommand(root, {
      program: "/usr/bin/qemu-system-x86_64",
      args: MICROVM,
      binds: [
        { source: temp.path, target: "/vm", readOnly: false },
        { source: join(boot.kernel, ".."), target: "/boot", readOnly: true },
        { source: join(image, ".."), target: "/image", readOnly: true },
      ],
      uid: QEMU_UID,
      gid: QEMU_UID,
      env: ENVIRONMENT,
    });
    await using qemu = owned(spawn(file, args, { stdio: ["ignore", "inherit", "inherit"] }));
    const serial = join(temp.path, "serial");
    await waitFor(() => qemu.alive() && exists(serial) && /Linux version 6\./.test(readFileSync(serial, "utf8")), {
      what: "the kernel's first line on the serial port",
      deadlineMs: 60_000,
    });
    const replies = await qmp(join(temp.path, "qmp.sock"), [
      { execute: "qmp_capabilities" },
      { execute: "stop" },
      { execute: "migrate", arguments: { uri: "file:/vm/state" } },
      { execute: "query-status" },
    ]);
    assert.deepEqual(
      replies.filter((reply) => "error" in reply),
      [],
    );
    await waitFor(() => exists(join(temp.path, "state")), { what: "the state file" });
  });

  it("runs PostgreSQL as its own user: initdb, start, dump, stop", async () => {
    await using temp = await makeTempDir();
    const [data, sockets] = [join(temp.path, "data"), join(temp.path, "sockets")];
    for (const dir of [data, sockets]) {
      mkdirSync(dir, { mode: 0o700 });
      chownSync(dir, POSTGRES_UID, POSTGRES_UID);
    }
    const binds = [
      { source: data, target: "/data", readOnly: false },
      { source: sockets, target: "/sockets", readOnly: false },
    ];
    const bin = "/usr/lib/postgresql/17/bin";
    const initdb = ["-D", "/data/pg", "-U", "mags", "-A", "trust", "-E", "UTF8", "--locale=C.UTF-8", "--no-sync"];
    runJailed({ program: `${bin}/initdb`, args: initdb, binds, uid: POSTGRES_UID });
    const { file, args } = launchCommand(root, {
      program: `${bin}/postgres`,
      args: ["-D", "/data/pg", "-c", "listen_addresses=", "-c", "unix_socket_directories=/sockets"],
      binds,
      uid: POSTGRES_UID,
      gid: POSTGRES_UID,
      env: ENVIRONMENT,
      scratch: true,
    });
    await using server = owned(spawn(file, args, { stdio: "ignore" }));
    await waitFor(() => server.alive() && exists(join(sockets, ".s.PGSQL.5432")), { what: "PostgreSQL's socket" });
    const client = ["-h", "/sockets", "-U", "mags", "-d", "postgres"];
    await waitFor(
      () => {
        const ready = launchCommand(root, {
          program: `${bin}/pg_isready`,
          args: client,
          binds,
          uid: POSTGRES_UID,
          gid: POSTGRES_UID,
          env: ENVIRONMENT,
        });
        return spawnSync(ready.file, ready.args).status === 0;
      },
      { what: "PostgreSQL to accept connections" },
    );
    const sql = "create table t as select 'grüße'::text as word, timestamptz '2026-07-01 12:00 Europe/Berlin' as at";
    runJailed({ program: `${bin}/psql`, args: [...client, "-qc", sql], binds, uid: POSTGRES_UID });
    const dump = runJailed({ program: `${bin}/pg_dump`, args: [...client, "-t", "t"], binds, uid: POSTGRES_UID });
    assert.match(dump, /grüße\t2026-07-01 10:00:00\+00/);
    await server.stop("SIGINT");
  });

  it("offers its tools to the host: file systems, networks, archives", async () => {
    await using temp = await makeTempDir();
    mkdirSync(join(temp.path, "tree"));
    writeFileSync(join(temp.path, "tree", "file"), "content");
    const packed = join(temp.path, "tree.erofs");
    runTool("/usr/bin/mkfs.erofs", "-zlz4", "--quiet", packed, join(temp.path, "tree"));
    runTool("/usr/bin/fsck.erofs", `--extract=${join(temp.path, "out")}`, packed);
    assert.equal(readFileSync(join(temp.path, "out", "file"), "utf8"), "content");
    assert.match(runTool("/usr/sbin/nft", "--version"), /^nftables v1/);
    assert.match(runTool("/usr/bin/ip", "-V"), /iproute2/);
    assert.match(runTool("/usr/sbin/tc", "-V"), /iproute2/);
  });
});

const ENVIRONMENT = { PATH: "/usr/sbin:/usr/bin", LANG: "C.UTF-8", TZ: "UTC" };

const MICROVM = [
  ...["-M", "pc-q35-10.0,memory-backend=ram,sata=off,smbus=off,hpet=off,i8042=off,vmport=off,usb=off"],
  ...["-accel", "tcg,thread=multi,tb-size=64", "-cpu", "max,-avx,-avx2", "-smp", "1", "-m", "256"],
  ...["-object", "memory-backend-ram,id=ram,size=256M"],
  ...["-nodefaults", "-no-user-config", "-display", "none", "-no-reboot", "-serial", "file:/vm/serial"],
  ...["-kernel", "/boot/vmlinuz", "-initrd", "/boot/initramfs", "-append", "console=ttyS0 panic=-1 mitigations=off"],
  ...["-blockdev", "driver=file,filename=/image/base.erofs,node-name=basefile,read-only=on,locking=off"],
  ...[
    "-blockdev",
    "driver=raw,file=basefile,node-name=base,read-only=on",
    "-device",
    "virtio-blk-pci,drive=base,id=vda",
  ],
  ...["-blockdev", "driver=null-co,size=2147483648,read-zeroes=on,node-name=placeholder"],
  ...["-blockdev", "driver=raw,file=placeholder,node-name=slot"],
  ...["-device", "virtio-blk-pci,drive=slot,id=vdb,rerror=stop,werror=stop"],
  ...["-device", "virtio-serial-pci", "-device", "virtio-rng-pci", "-device", "pvpanic-pci"],
  ...["-device", "vmgenid,guid=auto", "-netdev", "hubport,id=net,hubid=0", "-device", "virtio-net-pci,netdev=net"],
  ...["-qmp", "unix:/vm/qmp.sock,server=on,wait=off"],
  ...["-sandbox", "on,obsolete=deny,elevateprivileges=deny,spawn=deny,resourcecontrol=deny"],
];

function exists(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false }) !== undefined;
}

/** A daemon that is ended with the block that owns it. */
function owned(child: ChildProcess) {
  const gone = new Promise<void>((resolve) => child.once("exit", () => resolve()));
  const ended = () => child.exitCode !== null || child.signalCode !== null;
  return {
    /** True; throws when it has ended, so that nobody waits for what cannot come. */
    alive() {
      assert.equal(ended(), false, `${child.spawnfile} ended with ${child.exitCode ?? child.signalCode}`);
      return true;
    },
    async stop(signal: NodeJS.Signals) {
      child.kill(signal);
      await gone;
    },
    async [Symbol.asyncDispose]() {
      if (ended()) return;
      child.kill("SIGKILL");
      await gone;
    },
  };
}

/** Sends commands one after the other and gives their replies, then closes the monitor. */
async function qmp(path: string, commands: readonly object[]): Promise<readonly object[]> {
  const socket = connect(path).setEncoding("utf8");
  const replies: object[] = [];
  let text = "";
  for await (const chunk of socket) {
    text += chunk;
    const lines = text.split("\n");
    text = lines.pop() ?? "";
    for (const line of lines) {
      const message = JSON.parse(line);
      if ("return" in message || "error" in message) replies.push(message);
      else if (!("QMP" in message)) continue;
      if (replies.length === commands.length) return replies;
      socket.write(`${JSON.stringify(commands[replies.length])}\n`);
    }
  }
  return replies;
}

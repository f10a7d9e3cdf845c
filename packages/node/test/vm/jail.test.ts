/** A program with the jail of a microVM's QEMU tries what it should not get. */
import assert from "node:assert/strict";
import { execFileSync, spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { chmodSync, chownSync, copyFileSync, mkdirSync, writeFileSync } from "node:fs";
import { join, resolve } from "node:path";
import { after, before, describe, it } from "node:test";
import { launchCommand } from "@mags/runtime-root";
import { makeTempDir, type TempDir } from "@mags/test-kit";
import { type Cgroups, openCgroups } from "../../src/host/cgroups.ts";
import { makeJailDirectory } from "../../src/microvm/jail-directory.ts";
import { cgroupLimits, microVmFileBytes, processLimits } from "../../src/microvm/limits.ts";
import { type QemuSpec, qemuLaunchSpec } from "../../src/qemu/spawn.ts";

const LAUNCHER = resolve(import.meta.dirname, "../../../../native/launcher");
const UID = 1_912_000_001;
const OTHER_UID = 1_912_000_002;
const SIZE = { vcpus: 1, memoryMiB: 64 };
const DISK_GIB = 2;
const DISK_FILE_BYTES = microVmFileBytes(SIZE, DISK_GIB);
const DISK_FILE_MIB = DISK_FILE_BYTES / 1024 ** 2;
const NAMESPACE = `mags-jail-${process.pid}`;

const KILLED = "SIGSYS";
const CLONE_NEWUSER = "0x10000000";
const CLONE_NEWNET = "0x40000000";
const THREAD_IN_NEW_NAMESPACE = "0x10010f00";
const AF_UNIX = "1";
const AF = { inet: "2", inet6: "10", netlink: "16", packet: "17", vsock: "40" };
/** Requests of linux/if_tun.h. */
const TAP = {
  TUNSETPERSIST: "0x400454cb",
  TUNSETOWNER: "0x400454cc",
  TUNSETGROUP: "0x400454ce",
  TUNSETLINK: "0x400454cd",
  TUNSETDEBUG: "0x400454c9",
  TUNATTACHFILTER: "0x401054d5",
  TUNSETQUEUE: "0x400454d9",
  TUNSETIFINDEX: "0x400454da",
  TUNSETFILTEREBPF: "0x800454e1",
  TUNSETCARRIER: "0x400454e2",
  TUNGETDEVNETNS: "0x54e3",
};

describe("the jail of a microVM's QEMU", () => {
  let temp: TempDir;
  let root: { dir: string; launcher: string };
  let spec: QemuSpec;
  let cgroups: Cgroups | null;

  before(async () => {
    execFileSync("make", ["-s", "-C", LAUNCHER, "test"], { stdio: ["ignore", "ignore", "inherit"] });
    execFileSync("ip", ["netns", "add", NAMESPACE]);
    for (const tap of ["tap0", "tap1"])
      execFileSync("ip", ["-n", NAMESPACE, "tuntap", "add", tap, "mode", "tap", "vnet_hdr"]);
    temp = await makeTempDir();
    chmodSync(temp.path, 0o711);
    const at = (name: string) => join(temp.path, name);
    for (const name of ["vm", "template", "image", "boot", "dev", "tmp"])
      mkdirSync(join(at("root"), name), { recursive: true });
    copyFileSync(join(LAUNCHER, "build/probe"), join(at("root"), "probe"));
    root = { dir: at("root"), launcher: join(LAUNCHER, "build/mags-launch") };
    for (const name of ["own", "other", "template", "image"]) mkdirSync(at(name));
    // Open to everybody, so that what keeps it from writing is the jail.
    for (const path of [join(at("template"), "memory"), join(at("image"), "base.erofs")]) {
      writeFileSync(path, "content");
      chmodSync(path, 0o666);
    }
    for (const [name, uid] of [
      ["own", UID],
      ["other", OTHER_UID],
    ] as const) {
      await makeJailDirectory(join(at(name), "jail"), uid);
      writeFileSync(join(at(name), "jail/disk.qcow2"), "", { mode: 0o600 });
      chownSync(join(at(name), "jail/disk.qcow2"), uid, uid);
    }
    cgroups = await openCgroups(`tjl${randomBytes(3).toString("hex")}`).catch(() => null);
    spec = {
      args: [],
      accelerator: "tcg",
      uid: UID,
      network: { index: 1, namespace: `/run/netns/${NAMESPACE}`, tap: "tap0" },
      jailDirectory: join(at("own"), "jail"),
      imageDirectory: at("image"),
      template: { directory: at("template"), writable: false },
      cgroups: (await cgroups?.create("own", cgroupLimits(SIZE, { idle: false }))) ?? [],
      sockets: { qmp: "qmp.sock", control: "control.sock", bulk: "bulk.sock" },
      limits: processLimits(SIZE, { fileBytes: DISK_FILE_BYTES, mostFileBytes: DISK_FILE_BYTES }),
      idlePriority: false,
    };
  });
  after(async () => {
    await cgroups?.removeAll();
    execFileSync("ip", ["netns", "delete", NAMESPACE]);
    await temp[Symbol.asyncDispose]();
  });

  let attempts = 0;
  /** How the kernel answered: `ok`, the name of an errno, or the signal that ended the program. */
  function attempt(args: readonly string[], changes: Partial<QemuSpec> = {}): string {
    const sockets = join(temp.path, "own");
    const name = (kind: string) => join(sockets, `${kind}-${++attempts}`);
    const launch = qemuLaunchSpec({
      ...spec,
      ...changes,
      sockets: { qmp: name("qmp"), control: name("control"), bulk: name("bulk") },
    });
    const command = launchCommand(root, { ...launch, program: "/probe", args: ["try", ...args] });
    const result = spawnSync(command.file, [...command.args], { encoding: "utf8", timeout: 60_000 });
    assert.equal(result.stderr, "");
    return result.signal ?? result.stdout.trim();
  }

  const self = String(process.pid);
  const cases: Readonly<Record<string, readonly (readonly [what: string, args: readonly string[], answer: string])[]>> =
    {
      "of files it gets its disk to write, template and image to read, and": [
        ["its disk", ["write", "/vm/disk.qcow2"], "ok"],
        ["the template to read", ["read", "/template/memory"], "ok"],
        ["not the template to write", ["write", "/template/memory"], "EROFS"],
        ["no file of its own in the template", ["create", "/template/new"], "EROFS"],
        ["not the image to write", ["write", "/image/base.erofs"], "EROFS"],
        ["no new file beside its disk", ["create", "/vm/new"], "EACCES"],
        ["no look at the folder of its disk", ["list", "/vm"], "EACCES"],
        ["no link in the place of its disk", ["link", "/vm/link"], "EPERM"],
        ["not its disk removed", ["remove", "/vm/disk.qcow2"], "EPERM"],
        ["not its disk renamed", ["rename", "/vm/disk.qcow2"], "EPERM"],
        ["not its disk made a set-user-id program", ["chmod", "/vm/disk.qcow2"], "EPERM"],
        ["no file in /tmp", ["create", "/tmp/new"], "EROFS"],
        ["no shared memory", ["create", "/dev/shm/new"], "ENOENT"],
        ["nothing of the host's", ["read", "/etc/passwd"], "ENOENT"],
        ["nothing above its root", ["read", "/../../etc/passwd"], "ENOENT"],
        ["no /proc", ["list", "/proc"], "ENOENT"],
        ["no /sys", ["list", "/sys"], "ENOENT"],
        ["no other microVM's directory", ["list", "/../other"], "ENOENT"],
        ["no KVM that was not given", ["write", "/dev/kvm"], "ENOENT"],
        ["no tap of its own", ["write", "/dev/net/tun"], "ENOENT"],
        ["no file by its handle", ["handle"], KILLED],
      ],
      "of other processes it gets": [
        ["no trace", ["ptrace", self], KILLED],
        ["no memory", ["read-memory", self], KILLED],
        ["no signal sent", ["kill", self], "EPERM"],
        ["no signal sent to a thread", ["tgkill", self], "EPERM"],
        ["no program run", ["exec", "/probe"], KILLED],
        ["no program run by the other call", ["execveat", "/probe"], KILLED],
        ["no second process", ["fork"], "EPERM"],
      ],
      "of sockets it gets those it was given, and": [
        ["one to connect to the block server by", ["stream", AF_UNIX], "ok"],
        ...Object.entries(AF).map(([name, family]) => [`none of family ${name}`, ["stream", family], "EPERM"] as const),
        ["no raw one", ["socket", AF.packet], "EPERM"],
      ],
      "of its tap it can ask what QEMU asks, and not": [
        ["to turn it into another", ["other-tap", "tap1"], "EPERM"],
        ["to make one", ["other-tap", "tap9"], "EPERM"],
        ...Object.entries(TAP).map(([name, request]) => [name, ["tap", request], "EPERM"] as const),
      ],
      "of the kernel it gets": [
        ["no user namespace", ["unshare", CLONE_NEWUSER], KILLED],
        ["no network namespace", ["unshare", CLONE_NEWNET], KILLED],
        ["no namespace with a thread", ["clone", THREAD_IN_NEW_NAMESPACE], "EPERM"],
        ["no call whose flags cannot be seen", ["clone3"], "ENOSYS"],
        ["no mount", ["mount"], KILLED],
        ["no device", ["mknod"], KILLED],
        ["no other user", ["setuid", "0"], KILLED],
        ["no BPF", ["bpf"], KILLED],
        ["no performance events", ["perf"], KILLED],
        ["no page faults to answer", ["userfaultfd"], KILLED],
        ["no keys", ["keyctl"], KILLED],
        ["no modules", ["module"], KILLED],
        ["no rings around the filter", ["io_uring"], "ENOSYS"],
        ["no calls by the 32-bit interface", ["int80"], KILLED],
        ["no calls by the x32 interface", ["x32"], KILLED],
        ["no letters typed into a terminal", ["type-ahead"], "EPERM"],
        ["no higher priority", ["priority"], "EPERM"],
        ["no real-time policy", ["scheduler"], "EPERM"],
      ],
      "of resources it gets": [
        ["a disk file up to its limit", ["grow", String(DISK_FILE_MIB - 1)], "ok"],
        ["and not one byte more", ["grow", String(DISK_FILE_MIB)], "EFBIG"],
        ["no files in memory", ["memfd"], "EPERM"],
        ["no System V shared memory", ["shm"], "EPERM"],
        ["no message queues", ["queue"], "EPERM"],
        ["no locked memory", ["lock"], "EPERM"],
        ["the threads that QEMU needs", ["threads", "64"], "ok"],
        ["no more than its limit", ["threads", "400"], "EAGAIN"],
        ["the addresses that QEMU needs", ["addresses", "1024"], "ok"],
        ["no more than its limit of them", ["addresses", "4096"], "ENOMEM"],
        ["no higher limits", ["limit", "1"], "EPERM"],
      ],
    };
  for (const [group, rows] of Object.entries(cases))
    describe(group, () => {
      for (const [what, args, answer] of rows) it(what, () => assert.equal(attempt(args), answer));
    });

  it("may write the files of a template that it is to make, and make no other there", () => {
    const template = { directory: join(temp.path, "template"), writable: true };
    assert.equal(attempt(["write", "/template/memory"], { template }), "ok");
    assert.equal(attempt(["create", "/template/new"], { template }), "EACCES");
    assert.equal(attempt(["remove", "/template/memory"], { template }), "EPERM");
  });

  it("ends when it takes more memory than guest and QEMU need, where the host has control groups", (t) => {
    if (!cgroups) return t.skip("this host has none that can be used");
    assert.equal(attempt(["memory", "128"]), "ok");
    assert.equal(attempt(["memory", "512"]), "SIGKILL");
  });
});

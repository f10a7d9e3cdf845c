/** Views of the disk of a jailed microVM whose guest writes on. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { type FileHandle, link, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, it, type TestContext } from "node:test";
import { toolCommand } from "@mags/runtime-root";
import { makeTempDir } from "@mags/test-kit";
import type { AgentConnection } from "../../src/agent/index.ts";

import { connectGuest } from "../../src/microvm/guest.ts";
import { makeFileFor } from "../../src/microvm/jail-directory.ts";
import { microVmFileBytes } from "../../src/microvm/limits.ts";
import { DISK, type ParkedClone } from "../../src/pool/clone.ts";
import { JAIL, wakeArguments } from "../../src/qemu/command-line.ts";
import { openDiskView } from "../../src/qemu/disk-view/disk-view.ts";

import { viewPlaceOf } from "../../src/qemu/disk-view/place.ts";
import { settleDisk } from "../../src/qemu/disk-view/settle.ts";
import { type ReadView, readView } from "../disk-view/read-view.ts";
import { openTestHost, SIZE, type TestHost } from "./support.ts";

const GIB = 1024 ** 3;
const MIB = 1024 ** 2;
const DISK_BYTES = SIZE.diskGiB * GIB;
const DEADLINE_MS = 120_000;
const READ_BYTES = MIB;

let testHost: TestHost;
before(async () => {
  testHost = await openTestHost();
});
after(() => testHost[Symbol.asyncDispose]());

async function script(agent: AgentConnection, text: string): Promise<string> {
  const { exitCode, stdout, stderr } = await agent.run({ script: text });
  assert.equal(exitCode, 0, stderr.toString());
  return stdout.toString().trim();
}

/** Opens a view while the guest's file system stands still. */
async function view(
  { microVm, agent }: ParkedClone,
  names: { readonly since: string | null; readonly next: string },
  t: TestContext,
): Promise<ReadView> {
  const deps = { qmp: microVm.machine.qmp, runtime: testHost.deps.runtime, place: viewPlaceOf(microVm) };
  const begunMs = performance.now();
  let [stoodMs, tookMs] = [0, 0];
  const opened = await openDiskView(deps, {
    ...names,
    sizeBytes: DISK_BYTES,
    async atMoment(take) {
      const frozenMs = performance.now();
      await agent.freeze({ watchdogMs: 20_000 });
      const stillMs = performance.now();
      await take();
      tookMs = performance.now() - stillMs;
      await agent.thaw();
      stoodMs = performance.now() - frozenMs;
    },
  });
  const allMs = performance.now() - begunMs;
  const [all, stood, took] = [allMs, stoodMs, tookMs].map((ms) => ms.toFixed(1));
  t.diagnostic(`view since ${names.since}: ${all} ms, of them ${stood} with the file system still, ${took} to take it`);
  return await readView(opened, names.since);
}

/** Brings a copy of an earlier view to what this one holds. @returns bytes that were read. */
async function copy(from: ReadView, to: FileHandle): Promise<number> {
  let read = 0;
  for await (const { offset, length, zero } of from.changes({ signal: AbortSignal.timeout(DEADLINE_MS) }))
    for (let at = offset; at < offset + length; at += READ_BYTES) {
      const bytes = Math.min(READ_BYTES, offset + length - at);
      await to.write(zero ? Buffer.alloc(bytes) : await from.client.read(at, bytes), 0, bytes, at);
      read += zero ? 0 : bytes;
    }
  return read;
}

/** A copy of a disk on the host, kept up by views. */
async function openCopy() {
  await using scope = new AsyncDisposableStack();
  const { path } = scope.use(await makeTempDir());
  const image = join(path, "image");
  const file = scope.use(await open(image, "w"));
  await file.truncate(DISK_BYTES);
  const owned = scope.move();
  return {
    path,
    update: (from: ReadView) => copy(from, file),
    /** It is a whole file system, and /root/a has this checksum in it. */
    async check(sum: string) {
      const tool = (program: string, ...args: string[]) => {
        const command = toolCommand(testHost.deps.runtime, program, args);
        execFileSync(command.file, command.args, { stdio: ["ignore", "ignore", "pipe"] });
      };
      tool("/usr/sbin/e2fsck", "-f", "-n", image);
      tool("/usr/sbin/debugfs", "-R", `dump /up/root/a ${join(path, "a")}`, image);
      const content = await readFile(join(path, "a"));
      assert.equal(`${createHash("sha256").update(content).digest("hex")}  -`, sum);
    },
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

it("views of a disk that is written to are whole file systems, each with what changed since the last", async (t) => {
  await using image = await openCopy();
  const clone = await testHost.park({ mounted: true });
  const { microVm, agent } = clone;
  await microVm.machine.resume();

  const sums = await script(agent, "cd /root; head -c 8M /dev/urandom > a; head -c 3M /dev/urandom > b; sha256sum < a");
  await using first = await view(clone, { since: null, next: "1" }, t);
  // What the view holds is overwritten while it is read.
  const busy = script(
    agent,
    "cd /root; for n in 1 2 3; do head -c 20M /dev/urandom > noise; sync; done; head -c 8M /dev/urandom | dd of=a conv=notrunc,fsync status=none; sha256sum < a",
  );
  const whole = await image.update(first);
  const changed = await busy;
  await first.finish({ published: true });
  await image.check(sums);

  await script(agent, "cd /root; rm noise b; head -c 1M /dev/urandom > c; sync");
  await using second = await view(clone, { since: "1", next: "2" }, t);
  const more = await image.update(second);
  await second.finish({ published: false });
  await image.check(changed);
  t.diagnostic(`${whole >> 10} KiB in the first, ${more >> 10} KiB in the second`);

  // Not published: the third tells of it again, and of what came later.
  const last = await script(agent, "cd /root; head -c 8M /dev/urandom > a; sync; sha256sum < a");
  await using third = await view(clone, { since: "1", next: "3" }, t);
  const again = await image.update(third);
  assert.ok(again >= more, `${again} bytes, ${more} before`);
  await image.check(last);

  // A server that is killed now leaves the view; the next one settles it.
  const settled = await settleDisk(microVm.machine.qmp, viewPlaceOf(microVm), { since: "1" });
  assert.deepEqual(settled, { tracked: true });
  await script(agent, "sync; sha256sum < /root/a");
});

it("changes are known after a sleep, when QEMU was killed as soon as the memory was written", async (t) => {
  await using image = await openCopy();
  const { host, deps, template } = testHost;
  const clone = await testHost.park({ mounted: true });
  const { machine, paths, uid } = clone.microVm;
  await machine.resume();
  {
    await using whole = await view(clone, { since: null, next: "1" }, t);
    await image.update(whole);
    await whole.finish({ published: true });
  }
  await script(clone.agent, "head -c 8M /dev/urandom > /root/a; sync");
  await machine.pause();
  await makeFileFor(uid, join(paths.jail, "memory"));
  await machine.saveMemory(`${JAIL.vm}/memory`, { deadlineMs: DEADLINE_MS });
  const files = ["memory", DISK].map((name) => ({ source: join(image.path, name), name }));
  for (const { source, name } of files) await link(join(paths.jail, name), source);
  await host.release(clone.microVm);

  const woken = await host.launch({
    templateKey: null,
    args: wakeArguments(template.shape, `${JAIL.vm}/${DISK}`),
    accelerator: template.shape.accelerator,
    template: null,
    imageDirectory: template.image.directory,
    files,
    size: template.shape,
    maxFileBytes: microVmFileBytes(template.shape, SIZE.diskGiB),
    mostFileBytes: microVmFileBytes(template.shape, SIZE.diskGiB),
    idlePriority: false,
  });
  await woken.machine.loadMemory(`${JAIL.vm}/memory`, { deadlineMs: DEADLINE_MS });
  await woken.machine.resume();
  const settled = await settleDisk(woken.machine.qmp, viewPlaceOf(woken), { since: "1" });
  assert.deepEqual(settled, { tracked: true });
  const agent = await connectGuest(woken, deps);
  const sum = await script(agent, "head -c 1M /dev/urandom > /root/b; sync; sha256sum < /root/a");
  await using changes = await view({ ...clone, microVm: woken, agent }, { since: "1", next: "2" }, t);
  t.diagnostic(`${(await image.update(changes)) >> 10} KiB`);
  await changes.finish({ published: true });
  await image.check(sum);
  await host.release(woken);
});

/** Views of the disk of a jailed microVM whose guest writes on. */
import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { type FileHandle, open, readFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, it, type TestContext } from "node:test";
import { toolCommand } from "@mags/runtime-root";
import { makeTempDir } from "@mags/test-kit";
import type { AgentConnection } from "../../src/agent/index.ts";
import type { ParkedClone } from "../../src/pool/clone.ts";
import { type DiskView, openDiskView } from "../../src/qemu/disk-view/disk-view.ts";
import { viewPlaceOf } from "../../src/qemu/disk-view/place.ts";
import { settleDisk } from "../../src/qemu/disk-view/settle.ts";
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
): Promise<DiskView> {
  const deps = { qmp: microVm.machine.qmp, runtime: testHost.deps.runtime, place: viewPlaceOf(microVm) };
  const begunMs = performance.now();
  let [stoodMs, tookMs] = [0, 0];
  const opened = await openDiskView(deps, {
    ...names,
    sizeBytes: DISK_BYTES,
    signal: AbortSignal.timeout(DEADLINE_MS),
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
  return opened;
}

/** Brings a copy of an earlier view to what this one holds. @returns bytes that were read. */
async function copy(from: DiskView, to: FileHandle): Promise<number> {
  let read = 0;
  for await (const { offset, length, zero } of from.changes({ signal: AbortSignal.timeout(DEADLINE_MS) }))
    for (let at = offset; at < offset + length; at += READ_BYTES) {
      const bytes = Math.min(READ_BYTES, offset + length - at);
      await to.write(zero ? Buffer.alloc(bytes) : await from.client.read(at, bytes), 0, bytes, at);
      read += zero ? 0 : bytes;
    }
  return read;
}

it("views of a disk that is written to are whole file systems, each with what changed since the last", async (t) => {
  await using temp = await makeTempDir();
  const clone = await testHost.park({ mounted: true });
  const { microVm, agent } = clone;
  await microVm.machine.resume();
  const image = join(temp.path, "image");
  await using file = await open(image, "w");
  await file.truncate(DISK_BYTES);

  const sums = await script(agent, "cd /root; head -c 8M /dev/urandom > a; head -c 3M /dev/urandom > b; sha256sum < a");
  await using first = await view(clone, { since: null, next: "1" }, t);
  // What the view holds is overwritten while it is read.
  const busy = script(
    agent,
    "cd /root; for n in 1 2 3; do head -c 20M /dev/urandom > noise; sync; done; head -c 8M /dev/urandom | dd of=a conv=notrunc,fsync status=none; sha256sum < a",
  );
  const whole = await copy(first, file);
  const changed = await busy;
  await first.finish({ published: true });

  const check = async (sum: string) => {
    const tool = (program: string, ...args: string[]) => {
      const command = toolCommand(testHost.deps.runtime, program, args);
      execFileSync(command.file, command.args, { stdio: ["ignore", "ignore", "pipe"] });
    };
    tool("/usr/sbin/e2fsck", "-f", "-n", image);
    tool("/usr/sbin/debugfs", "-R", `dump /up/root/a ${join(temp.path, "a")}`, image);
    const content = await readFile(join(temp.path, "a"));
    assert.equal(`${createHash("sha256").update(content).digest("hex")}  -`, sum);
  };
  await check(sums);

  await script(agent, "cd /root; rm noise b; head -c 1M /dev/urandom > c; sync");
  await using second = await view(clone, { since: "1", next: "2" }, t);
  const more = await copy(second, file);
  await second.finish({ published: false });
  await check(changed);
  t.diagnostic(`${whole >> 10} KiB in the first, ${more >> 10} KiB in the second`);

  // Not published: the third tells of it again, and of what came later.
  await script(agent, "cd /root; head -c 8M /dev/urandom > a; sync");
  const last = await script(agent, "sha256sum < /root/a");
  await using third = await view(clone, { since: "1", next: "3" }, t);
  const again = await copy(third, file);
  assert.ok(again >= more, `${again} bytes, ${more} before`);
  await check(last);

  // A server that is killed now leaves the view; the next one settles it.
  const settled = await settleDisk(microVm.machine.qmp, viewPlaceOf(microVm), { since: "1" });
  assert.deepEqual(settled, { tracked: true });
  await script(agent, "sync; sha256sum < /root/a");
});

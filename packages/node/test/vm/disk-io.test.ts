import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import type { AgentConnection } from "../../src/agent/index.ts";
import { insertEmptyDisk, parkClone } from "../../src/pool/clone.ts";
import type { DiskIoCaps } from "../../src/qemu/machine.ts";
import { openTestHost, SIZE, type TestHost } from "./support.ts";

const MIB = 1024 ** 2;
const UNCAPPED: DiskIoCaps = { bytesPerSecond: 0, operationsPerSecond: 0 };

let testHost: TestHost;
before(async () => {
  testHost = await openTestHost();
});
after(() => testHost[Symbol.asyncDispose]());

async function started(diskIo: DiskIoCaps, mounted: boolean): Promise<AgentConnection> {
  const deps = { ...testHost.deps, diskIo };
  const { microVm, agent } = await parkClone(deps, testHost.template, { mounted, size: SIZE });
  const { diskGiB } = SIZE;
  const sizeBytes = mounted ? 0 : await insertEmptyDisk(deps, microVm, { diskGiB, neverRan: false });
  await microVm.machine.resume();
  if (!mounted) await agent.attachDisk({ upper: "ext4", sizeBytes });
  return agent;
}

/** @returns seconds that the guest took, by the host's clock. */
async function write(agent: AgentConnection, blocks: { readonly bytes: number; readonly count: number }) {
  const startedAt = performance.now();
  const script = `dd if=/dev/zero of=/root/x bs=${blocks.bytes} count=${blocks.count} oflag=direct conv=notrunc`;
  const { exitCode, stderr } = await agent.run({ script });
  assert.equal(exitCode, 0, stderr.toString());
  return (performance.now() - startedAt) / 1000;
}

it("caps of disk input and output hold for one microVM, whatever disk it has, and leave the others alone", async (t) => {
  const byBytes = await started({ bytesPerSecond: MIB, operationsPerSecond: 0 }, false);
  const byOperations = await started({ bytesPerSecond: 0, operationsPerSecond: 50 }, true);
  const free = await started(UNCAPPED, true);
  // At the rate of a burst, four times the cap, until what is above the cap amounts to five seconds of it: 27 MiB in 7 s.
  // What is left at the cap.
  const large = { bytes: MIB, count: 31 };
  const small = { bytes: 4096, count: 1550 };
  const capped = Promise.all([write(byBytes, large), write(byOperations, small)]);
  const uncapped = (await write(free, large)) + (await write(free, small));
  const [bytesSeconds, operationsSeconds] = await capped;
  t.diagnostic(`31 MiB: ${bytesSeconds.toFixed(1)} s, 1550 operations: ${operationsSeconds.toFixed(1)} s`);
  t.diagnostic(`both without caps meanwhile: ${uncapped.toFixed(1)} s`);
  assert.ok(bytesSeconds > 8, `31 MiB at 1 MiB/s took ${bytesSeconds} s`);
  assert.ok(operationsSeconds > 8, `1550 operations at 50/s took ${operationsSeconds} s`);
  assert.ok(uncapped < 6, `without caps it took ${uncapped} s`);
});

it("an agent waits for the thaw to make and remove sockets on the disk, goes on meanwhile, and lets go of them with it", async () => {
  const { microVm, agent } = await testHost.park({ mounted: true });
  await microVm.machine.resume();
  const listen = (path: string) => agent.open({ kind: "listen", path });
  const there = (path: string) =>
    agent.stat({ path }).then(
      () => true,
      () => false,
    );

  const before = listen("/root/before");
  await before.opened;
  await agent.freeze({ watchdogMs: 60_000 });
  const during = listen("/root/during");
  const givenUp = listen("/root/given-up");
  before.close();
  givenUp.close();
  await agent.ping();
  assert.deepEqual([await there("/root/before"), await there("/root/during")], [true, false]);
  await agent.thaw();
  await during.opened;
  assert.deepEqual([await there("/root/before"), await there("/root/given-up")], [false, false]);

  const limit = await agent.run({ argv: ["/bin/sh", "-c", "ulimit -Sn; ulimit -Hn"] });
  assert.equal(limit.stdout.toString(), "1024\n1048576\n");

  const client = agent.open({ kind: "tcp", path: "/root/during" });
  await client.opened;
  await agent.open({ kind: "accept", connection: 1 }).opened;
  await agent.detachDisk();
  assert.equal((await during.ended).failure?.code, "ECANCELED");
  await testHost.host.release(microVm);
});

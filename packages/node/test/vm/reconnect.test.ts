import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import type { StreamRecord } from "../../src/agent/index.ts";
import { connectGuest } from "../../src/microvm/guest.ts";
import { openTestHost, type TestHost } from "./support.ts";

const ROUNDS = 60;
/** Rounds that meet a port that QEMU holds back: about one in fifteen. */
const RARE = "guest.connecting_again";

let testHost: TestHost;
before(async () => {
  testHost = await openTestHost();
});
after(() => testHost[Symbol.asyncDispose]());

it("a guest that prints without end is taken up again however often its host goes in the middle of a write, and no record is lost or doubled", async (t) => {
  const { deps, logged } = testHost;
  const { microVm, agent: first } = await testHost.park({ mounted: true });
  const { machine } = microVm;
  let next = 0;
  let bytes = 0;
  let wrong = 0;
  const onRecord = (record: StreamRecord) => {
    if (record.seq !== next || record.offset !== bytes) wrong++;
    next = record.seq + 1;
    bytes = record.offset + record.bytes.length;
  };
  let agent = first;
  await machine.resume();
  const key = Buffer.from("printer");
  const script = "i=0; while :; do i=$((i+1)); echo $i; done";
  let stream = agent.open({ kind: "exec", script, keep: true, key, window: 1 << 20, onRecord });
  await stream.opened;
  for (let round = 0; round < ROUNDS; round++) {
    const before = next;
    await waitFor(() => next > before, { what: `output in round ${round}` });
    stream.ack(next, bytes);
    // Paused and resumed, the guest writes at once; its host is gone before QEMU has noticed.
    await machine.pause();
    const resumed = machine.resume();
    await agent[Symbol.asyncDispose]();
    await resumed;
    agent = await connectGuest(microVm, deps);
    const kept = agent.kept.find((candidate) => candidate.key.equals(key));
    assert.ok(kept);
    stream = agent.resume(kept, { fromSeq: next, onRecord });
  }
  assert.equal(wrong, 0);
  t.diagnostic(`${logged.filter((event) => event === RARE).length} of ${ROUNDS} connections needed a second attempt`);
  await testHost.host.release(microVm);
});

it("a paused guest whose host was gone answers the next host, and is as it was", async () => {
  const { deps } = testHost;
  const { microVm, agent: first } = await testHost.park({ mounted: true });
  let agent = first;
  for (let round = 0; round < 20; round++) {
    await agent[Symbol.asyncDispose]();
    await microVm.machine.resume();
    agent = await connectGuest(microVm, deps);
    await microVm.machine.pause();
  }
  await microVm.machine.resume();
  const { stdout, exitCode } = await agent.run({ script: "echo still here; exit 4" });
  assert.equal(stdout.toString(), "still here\n");
  assert.equal(exitCode, 4);
  await testHost.host.release(microVm);
});

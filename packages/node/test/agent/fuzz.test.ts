/**
 * Whatever comes from the host side, the agent goes on serving: random bytes and frames with random changes, at the build
 * with sanitizers. The agent runs in a directory of its own and the frames name only things in it.
 */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import fc from "fast-check";
import { encodeData } from "../../src/agent/data.ts";
import { createFieldWriter } from "../../src/agent/fields.ts";
import { encodeFrame } from "../../src/agent/frame.ts";
import { encodeGreeting } from "../../src/agent/greeting.ts";
import { encodeOpen, type OpenOptions } from "../../src/agent/open-options.ts";
import { encodeAttach, encodeIdentity } from "../../src/agent/requests.ts";
import { FLAG, TAG, TYPE } from "../../src/agent/wire.ts";
import { type HostAgent, startHostAgent } from "./host-agent.ts";
import { createPortSwitch, type PortSwitch } from "./port-switch.ts";

const BATCHES = 100;
const BATCH_FRAMES = 100;

const OPENS: OpenOptions[] = [
  { kind: "exec", argv: ["true", "-c", "x"], environment: { A: "b" }, cwd: ".", timeoutMs: 10, stdin: true },
  { kind: "exec", script: "exit 3", keep: true, key: Buffer.from("k"), window: 65_536 },
  { kind: "pty", argv: ["true"], rows: 1, cols: 2 },
  { kind: "fileRead", path: "f", offset: 1, length: 2 },
  { kind: "fileWrite", path: "f", mode: 0o600, parents: true },
  { kind: "fileWrite", path: "g", atomic: true, exclusive: true },
  { kind: "list", path: "." },
  { kind: "tarOut", cwd: ".", paths: ["f"] },
  { kind: "tarIn", cwd: "t" },
  { kind: "tcp", port: 9, address: "127.0.0.1" },
];

const fields = createFieldWriter;
const IDS = [1, 2, 3, 4, 5];
const MESSAGES: { readonly type: number; readonly payload: Buffer }[] = [
  ...OPENS.map((options) => ({ type: TYPE.open, payload: encodeOpen(options) })),
  { type: TYPE.ping, payload: fields().bytes(TAG.payload, "ping").finish() },
  {
    type: TYPE.ident,
    payload: encodeIdentity({ realtimeNs: 1n, entropy: Buffer.alloc(32), hostname: "h", machineId: Buffer.alloc(16) }),
  },
  { type: TYPE.diskAttach, payload: encodeAttach({ upper: "ext4", sizeBytes: 1 }) },
  { type: TYPE.freeze, payload: fields().u32(TAG.watchdogMs, 1).finish() },
  { type: TYPE.stats, payload: Buffer.alloc(0) },
  { type: TYPE.stat, payload: fields().bytes(TAG.path, "f").u8(TAG.follow, 1).finish() },
  { type: TYPE.ack, payload: fields().u64(TAG.seq, 1).u64(TAG.offset, 5).finish() },
  { type: TYPE.signal, payload: fields().u32(TAG.signo, 15).finish() },
  { type: TYPE.resize, payload: fields().u16(TAG.rows, 3).u16(TAG.cols, 4).finish() },
  { type: TYPE.close, payload: Buffer.alloc(0) },
];

const id = fc.constantFrom(...IDS);
const control = fc
  .record({ message: fc.constantFrom(...MESSAGES), id, flags: fc.constantFrom(0, 0, 0, 0, FLAG.more) })
  .map(({ message, id: stream, flags }) => encodeFrame({ ...message, flags, id: stream }));
const data = fc
  .record({
    id,
    channel: fc.nat(2),
    fin: fc.boolean(),
    seq: fc.nat(3),
    offset: fc.nat(20),
    bytes: fc.uint8Array({ maxLength: 50 }),
  })
  .map(({ id: stream, bytes, ...header }) => Buffer.concat(encodeData(stream, { ...header, ageMs: 0 }, bytes)));

/** A frame as it is, or with some bytes changed, cut off or doubled; or no frame at all. */
function mutated(frame: fc.Arbitrary<Buffer>): fc.Arbitrary<Buffer> {
  const position = fc.double({ min: 0, max: 1, maxExcluded: true, noNaN: true });
  const changed = fc
    .tuple(frame, fc.array(fc.tuple(position, fc.nat(255)), { minLength: 1, maxLength: 4 }))
    .map(([original, changes]) => {
      const bytes = Buffer.from(original);
      for (const [where, value] of changes) bytes.writeUInt8(value, Math.floor(where * bytes.length));
      return bytes;
    });
  const cut = fc.tuple(frame, position).map(([bytes, where]) => bytes.subarray(0, Math.floor(where * bytes.length)));
  const doubled = fc.tuple(frame, position).map(([bytes, where]) => {
    const from = Math.floor(where * bytes.length);
    return Buffer.concat([bytes.subarray(0, from), bytes.subarray(Math.floor(from / 2))]);
  });
  const garbage = fc.uint8Array({ maxLength: 100 }).map((bytes) => Buffer.from(bytes));
  return fc.oneof({ weight: 4, arbitrary: frame }, { weight: 4, arbitrary: changed }, cut, doubled, garbage);
}

const batch = fc.record({
  control: fc.array(mutated(control), { minLength: BATCH_FRAMES / 2, maxLength: BATCH_FRAMES }),
  bulk: fc.array(mutated(data), { minLength: BATCH_FRAMES / 2, maxLength: BATCH_FRAMES }),
  nonce: fc.uint8Array({ minLength: 16, maxLength: 16 }),
});

describe("an agent that is sent nonsense", () => {
  let agent: HostAgent;
  let ports: { readonly control: PortSwitch; readonly bulk: PortSwitch };

  before(async () => {
    agent = await startHostAgent("agent-asan");
    ports = { control: createPortSwitch(agent.control), bulk: createPortSwitch(agent.bulk) };
  });
  after(async () => {
    await agent[Symbol.asyncDispose]();
    assert.equal(agent.stderr, "");
  });

  /** A host that sends this and goes away. */
  async function send(port: PortSwitch, bytes: Buffer): Promise<void> {
    const socket = port.plug();
    const passed = port.bytesToGuest;
    socket.on("data", () => {});
    socket.write(bytes);
    await waitFor(() => port.bytesToGuest === passed + bytes.length, { what: "the agent to take all", intervalMs: 1 });
  }

  it("serves the next host as if nothing had been", { timeout: 120_000 }, async () => {
    let frames = 0;
    await fc.assert(
      fc.asyncProperty(batch, async (nonsense) => {
        const greeting = encodeGreeting(Buffer.from(nonsense.nonce));
        await Promise.all([
          send(ports.control, Buffer.concat([greeting, ...nonsense.control])),
          send(ports.bulk, Buffer.concat([greeting, ...nonsense.bulk])),
        ]);
        const connection = await agent.connect({ control: ports.control.plug(), bulk: ports.bulk.plug() });
        for (const kept of connection.kept) connection.closeKept(kept);
        const { stdout } = await connection.run({ argv: ["echo", "fine"] });
        assert.equal(stdout.toString(), "fine\n");
        frames += nonsense.control.length + nonsense.bulk.length;
        assert.equal(agent.stderr, "");
      }),
      { numRuns: BATCHES, endOnFailure: true },
    );
    assert.ok(frames >= 10_000);
  });
});

/**
 * Hosts that send the agent nonsense, one after the other: frames as they should be, frames with changes, and bytes that are
 * none. The agent runs in a directory of its own and the frames name only things in it.
 */
import assert from "node:assert/strict";
import { createSeededRandom, mutate, type SeededRandom, waitFor } from "@mags/test-kit";
import { encodeData } from "../../src/agent/data.ts";
import { createFieldWriter } from "../../src/agent/fields.ts";
import { encodeFrame } from "../../src/agent/frame.ts";
import { encodeGreeting } from "../../src/agent/greeting.ts";
import { encodeOpen, type OpenOptions } from "../../src/agent/open-options.ts";
import {
  encodeAttach,
  encodeIdentity,
  encodeMakeDirectory,
  encodeRemove,
  encodeRename,
} from "../../src/agent/requests.ts";
import { FLAG, TAG, TYPE } from "../../src/agent/wire.ts";
import { type AgentVariant, startHostAgent } from "../agent/host-agent.ts";
import { createPortSwitch, type PortSwitch } from "../agent/port-switch.ts";

const BATCH_FRAMES = 1_000;
const TAKE_DEADLINE_MS = 60_000;

const OPENS: readonly OpenOptions[] = [
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
const OTHERS: readonly { readonly type: number; readonly payload: Buffer }[] = [
  { type: TYPE.ping, payload: fields().bytes(TAG.payload, "ping").finish() },
  {
    type: TYPE.ident,
    payload: encodeIdentity({ realtimeNs: 1n, entropy: Buffer.alloc(32), hostname: "h", machineId: Buffer.alloc(16) }),
  },
  { type: TYPE.diskAttach, payload: encodeAttach({ upper: "ext4", sizeBytes: 1 }) },
  { type: TYPE.freeze, payload: fields().u32(TAG.watchdogMs, 1).finish() },
  { type: TYPE.stats, payload: Buffer.alloc(0) },
  { type: TYPE.stat, payload: fields().bytes(TAG.path, "f").u8(TAG.follow, 1).finish() },
  { type: TYPE.remove, payload: encodeRemove({ path: "missing-file" }) },
  { type: TYPE.rename, payload: encodeRename({ path: "missing-file", to: "other-file", noReplace: true }) },
  { type: TYPE.mkdir, payload: encodeMakeDirectory({ path: "made-here/below", parents: true, mode: 0o700 }) },
  { type: TYPE.ack, payload: fields().u64(TAG.seq, 1).u64(TAG.offset, 5).finish() },
  { type: TYPE.signal, payload: fields().u32(TAG.signo, 15).finish() },
  { type: TYPE.resize, payload: fields().u16(TAG.rows, 3).u16(TAG.cols, 4).finish() },
  { type: TYPE.close, payload: Buffer.alloc(0) },
];
const MESSAGES = [...OPENS.map((options) => ({ type: TYPE.open, payload: encodeOpen(options) })), ...OTHERS];

function control(random: SeededRandom): Buffer {
  const flags = random.chance(0.1) ? FLAG.more : 0;
  return encodeFrame({ ...random.pick(MESSAGES), flags, id: random.between(1, 5) });
}

function data(random: SeededRandom): Buffer {
  const header = {
    channel: random.between(0, 2),
    fin: random.chance(0.5),
    ageMs: 0,
    seq: random.between(0, 3),
    offset: random.between(0, 20),
  };
  return Buffer.concat(encodeData(random.between(1, 5), header, random.bytes(random.between(0, 50))));
}

function nonsense(random: SeededRandom, frame: (random: SeededRandom) => Buffer): Buffer {
  return Buffer.concat(
    Array.from({ length: BATCH_FRAMES / 2 }, () =>
      random.chance(0.5) ? frame(random) : mutate(random, frame(random)),
    ),
  );
}

/** A host that sends this and goes away. */
async function send(port: PortSwitch, bytes: Buffer): Promise<void> {
  const socket = port.plug();
  const passed = port.bytesToGuest;
  socket.on("data", () => {});
  socket.write(bytes);
  await waitFor(() => port.bytesToGuest === passed + bytes.length, {
    what: "the agent to take all",
    intervalMs: 1,
    deadlineMs: TAKE_DEADLINE_MS,
  });
}

/** After each batch the agent must serve a host that is honest; at the end it must have printed nothing. */
export async function fuzzGuestAgent(
  variant: AgentVariant,
  options: { readonly seed: number; readonly frames: number },
): Promise<{ readonly frames: number; readonly elapsedMs: number }> {
  const random = createSeededRandom(options.seed);
  await using agent = await startHostAgent(variant);
  const ports = { control: createPortSwitch(agent.control), bulk: createPortSwitch(agent.bulk) };
  const startedAt = performance.now();
  let frames = 0;
  for (; frames < options.frames; frames += BATCH_FRAMES) {
    const greeting = encodeGreeting(random.bytes(16));
    await Promise.all([
      send(ports.control, Buffer.concat([greeting, nonsense(random, control)])),
      send(ports.bulk, Buffer.concat([greeting, nonsense(random, data)])),
    ]);
    const connection = await agent.connect({ control: ports.control.plug(), bulk: ports.bulk.plug() });
    for (const kept of connection.kept) connection.closeKept(kept);
    const { stdout } = await connection.run({ argv: ["echo", "fine"] });
    assert.equal(stdout.toString(), "fine\n");
    assert.equal(agent.stderr, "", `after ${frames} frames`);
  }
  return { frames, elapsedMs: performance.now() - startedAt };
}

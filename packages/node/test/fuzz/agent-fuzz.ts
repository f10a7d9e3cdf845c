/** Conversations with hostile guests, one after the other, while another guest is served beside them. */
import assert from "node:assert/strict";
import { withDeadline } from "@mags/core";
import {
  type Conversation,
  createSeededRandom,
  type FuzzReport,
  mutate,
  runConversations,
  type SeededRandom,
} from "@mags/test-kit";
import type { AgentConnection, AgentStream, KeptStream } from "../../src/agent/index.ts";
import { FLAG, TAG, TYPE } from "../../src/agent/wire.ts";
import { createFakeGuest, type FakeGuest, keptFields } from "../agent/fake-guest.ts";
import { HostileAgent } from "./hostile-agent.ts";

const MAX_KEPT = 258;
const SETTLE_DEADLINE_MS = 20_000;

export async function fuzzAgent(options: { readonly seed: number; readonly frames: number }): Promise<FuzzReport> {
  const random = createSeededRandom(options.seed);
  const other = createFakeGuest();
  await other.greet();
  const report = await runConversations(options.frames, async (framesSoFar) => {
    const talk = await converse(random, framesSoFar);
    await assertServed(other);
    return talk;
  });
  await other.connection[Symbol.asyncDispose]();
  return report;
}

/** The guest that does no harm gets its answers as if there were no other. */
async function assertServed(guest: FakeGuest): Promise<void> {
  const ping = guest.connection.ping();
  await guest.settled();
  const asked = guest.received.at(-1);
  assert.equal(asked?.type, TYPE.ping);
  await guest.control(TYPE.ping, asked.id, undefined, FLAG.reply);
  await ping;
  guest.received.length = 0;
}

async function converse(random: SeededRandom, salt: number): Promise<Conversation> {
  const guest = createFakeGuest();
  const { connection } = guest;
  const hostile = new HostileAgent(guest, random);
  const what = `conversation after ${salt} frames`;
  const waiting: Promise<unknown>[] = [connection.hello, connection.ready, ...ask(connection, random)];
  let frames = 2;
  await greet(guest, hostile, random);
  if (guest.violations.length === 0 && connection.kept.length > 0) takeUp(connection, random);

  const patience = random.between(1, 400);
  const hostility = random.pick([0, 0.002, 0.01, 0.05, 0.3, 1]);
  while (guest.violations.length === 0 && frames < patience) {
    const batch = { control: [] as Buffer[], bulk: [] as Buffer[] };
    for (let n = random.between(1, 40); n > 0; n--) {
      const { port, bytes } = hostile.next(hostility);
      batch[port].push(bytes);
      frames++;
    }
    for (const port of ["control", "bulk"] as const)
      if (batch[port].length > 0) await guest.raw(port, Buffer.concat(batch[port]));
    if (random.chance(0.1)) waiting.push(...ask(connection, random));
  }

  assert.ok(guest.violations.length <= 1, `${what}: ${guest.violations}`);
  if (guest.violations.length === 1)
    assert.match(await withDeadline(connection.closed, SETTLE_DEADLINE_MS, hangs(what)), /broke the agent protocol/);
  await connection[Symbol.asyncDispose]();
  await withDeadline(Promise.allSettled(waiting), SETTLE_DEADLINE_MS, hangs(what));
  const [violation] = guest.violations;
  return { frames, violation };
}

const hangs = (what: string) => () => new Error(`${what}: something waits for ever`);

/** What a node asks of a guest; what the guest does to it is the guest's affair. */
function ask(connection: AgentConnection, random: SeededRandom): Promise<unknown>[] {
  const opened = (stream: AgentStream) => {
    const waits: Promise<unknown>[] = [stream.opened, stream.ended];
    if (random.chance(0.5)) waits.push(stream.write(Buffer.alloc(random.between(1, 200_000))), stream.endInput());
    if (random.chance(0.2)) stream.signal(15);
    if (random.chance(0.1)) stream.close();
    return waits;
  };
  const keep = () => {
    const stream: AgentStream = connection.open({
      kind: "exec",
      argv: ["x"],
      keep: true,
      window: 65_536,
      onRecord: ({ seq, offset, bytes }) => stream.ack(seq + 1, offset + bytes.length),
    });
    return opened(stream);
  };
  const questions: (() => Promise<unknown>[])[] = [
    () => [connection.ping()],
    () => [connection.stats()],
    () => [connection.stat({ path: "x" })],
    () => [connection.attachDisk({ upper: "ext4", sizeBytes: 5 })],
    () => [connection.run({ argv: ["x"], input: Buffer.from("in"), maxBytes: 100 })],
    () => opened(connection.open({ kind: "exec", argv: ["x"], stdin: true })),
    () => opened(connection.open({ kind: "tcp", port: 1 })),
    () => opened(connection.open({ kind: "fileWrite", path: "x" })),
    () => opened(connection.open({ kind: "list", path: "x" })),
    keep,
    keep,
  ];
  const answers = Array.from({ length: random.between(1, 6) }, () => random.pick(questions)()).flat();
  for (const answer of answers) answer.catch(() => {}); // looked at when the conversation is over
  return answers;
}

/** HELLO, with streams that are said to be kept, and now and then not as it should be. */
async function greet(guest: FakeGuest, hostile: HostileAgent, random: SeededRandom): Promise<void> {
  const count = random.chance(0.7) ? 0 : random.chance(0.9) ? random.between(1, 4) : random.between(250, MAX_KEPT);
  await guest.greet((hello) => {
    for (let n = 0; n < count; n++) {
      const id = 1_000_000 + (random.chance(0.999) ? n : 0);
      const acked = random.between(1, 3);
      const sent = acked + random.between(random.chance(0.01) ? -1 : 0, 2);
      const kept = keptFields(id, { sent, acked, ended: random.chance(0.3) });
      hello.bytes(TAG.stream, random.chance(0.99) ? kept : mutate(random, kept));
      hostile.keep(id, acked);
    }
    if (random.chance(0.02)) hello.bytes(random.between(0, 80), random.bytes(random.between(0, 60_000)));
    return hello;
  });
}

function takeUp(connection: AgentConnection, random: SeededRandom): void {
  for (const kept of connection.kept) {
    if (random.chance(0.5)) connection.closeKept(kept);
    else resume(connection, kept, random);
  }
}

function resume(connection: AgentConnection, kept: KeptStream, random: SeededRandom): void {
  try {
    const stream: AgentStream = connection.resume(kept, {
      fromSeq: kept.acked + random.between(0, 1),
      onRecord: ({ seq, offset, bytes }) => stream.ack(seq + 1, offset + bytes.length),
    });
    stream.opened.catch(() => {});
  } catch (error) {
    // Refused: the guest says that it has less than was stored, or it is over.
    assert.match(String(error), /records, but|forgotten|broke the agent protocol|taken up/);
  }
}

/** Conversations with QEMUs that somebody took over, over a real socket, while another is served beside them. */
import assert from "node:assert/strict";
import { withDeadline } from "@mags/core";
import { createSeededRandom, type FuzzReport, mutate, runConversations, type SeededRandom } from "@mags/test-kit";
import { createMachine } from "../../src/qemu/machine.ts";
import { openQmp, type Qmp } from "../../src/qemu/qmp.ts";
import { type Command, type FakeQemu, GREETING, honestAnswer, line, startFakeQemu } from "./fake-qemu.ts";

const SETTLE_DEADLINE_MS = 20_000;
const LINES_PER_CONVERSATION = 250;

/** `frames` of the report are lines. */
export async function fuzzQmp(options: { readonly seed: number; readonly frames: number }): Promise<FuzzReport> {
  const random = createSeededRandom(options.seed);
  await using hostile = await startFakeQemu();
  await using honest = await startFakeQemu();
  honest.serve({
    onConnect: () => honest.write(line(GREETING)),
    onCommand: (command) => honest.write(honestAnswer(command)),
  });
  await using other = await openQmp(honest.path, { signal: AbortSignal.timeout(SETTLE_DEADLINE_MS) });
  const served = createMachine(other);

  return await runConversations(options.frames, async (framesSoFar) => {
    const { lines, fault } = await converse(hostile, random, framesSoFar);
    assert.equal(await served.status(), "paused");
    return { frames: lines, violation: fault ?? undefined };
  });
}

async function converse(
  qemu: FakeQemu,
  random: SeededRandom,
  salt: number,
): Promise<{ readonly lines: number; readonly fault: string | null }> {
  const hostility = random.pick([0, 0.005, 0.02, 0.1, 0.5, 1]);
  let lines = 0;
  const say = (text: string | Buffer) => {
    lines++;
    qemu.write(text);
  };
  qemu.serve({
    onConnect: () => say(random.chance(hostility / 4) ? lie(random, { execute: "greeting", id: 1 }) : line(GREETING)),
    onCommand(command) {
      for (let n = random.between(0, 40); n > 0; n--)
        say(random.chance(hostility) ? lie(random, command) : line(random.pick(HONEST_EVENTS)));
      if (!random.chance(hostility / 30)) say(random.chance(hostility) ? lie(random, command) : honestAnswer(command));
    },
  });
  const what = `conversation after ${salt} lines`;
  const hangs = () => new Error(`${what}: something waits for ever`);
  let qmp: Qmp;
  try {
    const opened = openQmp(qemu.path, { signal: AbortSignal.timeout(SETTLE_DEADLINE_MS), commandDeadlineMs: 30 });
    qmp = await withDeadline(opened, SETTLE_DEADLINE_MS, hangs);
  } catch (error) {
    assert.match(String(error), /^AppError: QEMU (sent|did not|refused)/, what);
    return { lines, fault: String(error) };
  }
  const machine = createMachine(qmp);
  let ends = 0;
  machine.onGuestEnd(() => ends++);
  const calls = [
    () => machine.status(),
    () => machine.loadTemplate("/t"),
    () => machine.insertDisk({ path: "/vm/d", sizeBytes: 5, neverRan: true }),
    () => machine.ejectDisk(),
    () => machine.resume(),
    () => machine.pause(),
    () => machine.consoleTail(),
  ];
  let over = false;
  void qmp.closed.then(() => {
    over = true;
  });
  while (!over && lines < LINES_PER_CONVERSATION) {
    const asked = Array.from({ length: random.between(1, 3) }, () => random.pick(calls)());
    // A status that stays between two states is asked for until the connection ends.
    const answers = Promise.allSettled(asked);
    const enough = new Promise<void>((resolve) => setTimeout(resolve, 20).unref());
    await Promise.race([answers, enough, qmp.closed]);
  }
  await qmp[Symbol.asyncDispose]();
  assert.ok(ends <= 1);
  return { lines, fault: await withDeadline(qmp.closed, SETTLE_DEADLINE_MS, hangs) };
}

const HONEST_EVENTS = [
  { event: "RESUME", timestamp: { seconds: 1, microseconds: 2 } },
  { event: "VSERPORT_CHANGE", data: { open: true, id: "control" }, timestamp: { seconds: 1, microseconds: 2 } },
];
const ODD_VALUES = [null, true, -1, 1e300, "", "x", "\u0000\u001b[2J", [], [[]], {}, { status: 7 }, { desc: 3 }];
const ODD_KEYS = ["QMP", "event", "data", "return", "error", "id", "status", "__proto__", "toString", "constructor"];
const EVENTS = ["SHUTDOWN", "GUEST_PANICKED", "STOP", "RESET", "BLOCK_IO_ERROR", "JOB_STATUS_CHANGE"];

function lie(random: SeededRandom, command: Command): string | Buffer {
  const odd = () => random.pick(ODD_VALUES);
  switch (random.between(0, 11)) {
    case 0:
      return mutate(random, Buffer.from(honestAnswer(command)));
    case 1:
      return mutate(random, Buffer.from(line(random.pick(HONEST_EVENTS))));
    case 2:
      return line({ return: odd(), id: command.id });
    case 3:
      return line({ return: {}, id: random.pick([command.id - 1, command.id + 1, 0, -1, 1e300, "1", null, 0.5]) });
    case 4:
      return line({ error: odd(), id: command.id });
    case 5:
      return line({ error: { class: "GenericError", desc: odd() }, id: command.id });
    case 6:
      return line({ event: random.pick(EVENTS), data: odd() });
    case 7:
      return line({ event: random.pick(EVENTS), data: { guest: odd(), reason: odd(), action: odd() } });
    case 8:
      return line(Object.fromEntries([random.pick(ODD_KEYS), random.pick(ODD_KEYS)].map((key) => [key, odd()])));
    case 9: {
      const depth = random.between(1, 40_000);
      const [open, close] = random.pick([
        ["[", "]"],
        ['{"return":', "}"],
      ] as const);
      return `${open.repeat(depth)}1${random.chance(0.5) ? close.repeat(depth) : ""}\n`;
    }
    case 10:
      return `"${"x".repeat(random.between(1, 200_000))}`;
    default:
      return random.pick(["\n", "\r\n", "null\n", "{}\n", "[]\n", "1\n", "\ufeff{}\n", '{"id":1}\n', line(GREETING)]);
  }
}

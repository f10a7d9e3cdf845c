import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { mkdir, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it, mock } from "node:test";
import { isAppError, silentLogger } from "@mags/core";
import { type AccountId, type ExecAttachment, type ExecId, INPUT_WINDOW_BYTES } from "@mags/domain";
import { createSeededRandom, makeTempDir, seedFrom, waitFor } from "@mags/test-kit";
import { openExecSessions } from "../../src/execs/exec-sessions.ts";
import { createGuests } from "../../src/guests/guests.ts";
import { ACCOUNT, GUEST, readAll, startExecBench } from "./bench.ts";

const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");
const code = (expected: string) => (error: unknown) => isAppError(error) && error.code === expected;

/** Lines of numbers: any byte that is lost, doubled or moved shows. */
const numbers = (count: number) => Buffer.from(Array.from({ length: count }, (_, n) => `${n + 1}\n`).join(""));

async function readOutput(attachment: ExecAttachment, text: string): Promise<string> {
  let got = "";
  while (!got.includes(text)) {
    const outputs = await attachment.read();
    assert.ok(outputs.length > 0, `it ended with ${JSON.stringify(got)}`);
    got += outputs.map(({ bytes }) => bytes.toString()).join("");
  }
  return got;
}

async function folderBytes(folder: string): Promise<number> {
  let sum = 0;
  for (const name of await readdir(folder)) sum += (await stat(join(folder, name)).catch(() => ({ size: 0 }))).size;
  return sum;
}

describe("a streamed command", () => {
  it("gives its output, stdout and stderr apart, and its exit code", async () => {
    await using bench = await startExecBench();
    const attachment = await bench.start("echo out; echo err >&2; pwd; exit 7", { cwd: "/tmp" });
    const { stdout, stderr } = await readAll(attachment);
    assert.equal(stdout.toString(), "out\n/tmp\n");
    assert.equal(stderr.toString(), "err\n");
    assert.deepEqual(attachment.end, { exitCode: 7, signal: null, timedOut: false, lost: null });
    assert.ok(bench.touches > 0, "its guest is not idle");
    attachment.forget();
    await waitFor(async () => (await readdir(bench.directory)).length === 0, { what: "an empty folder" });
    await assert.rejects(bench.attach(attachment.execId, 0), code("exec_not_found"));
  });

  it("takes input at its own pace, and hears of its end", async () => {
    await using bench = await startExecBench();
    const attachment = await bench.start("sha256sum", { stdin: true });
    const bytes = numbers(700_000);
    let taken = 0;
    let more = Promise.withResolvers<void>();
    attachment.onInputTaken((offset) => {
      taken = offset;
      more.resolve();
      more = Promise.withResolvers();
    });
    for (let offset = 0; offset < bytes.length; ) {
      const piece = bytes.subarray(offset, offset + 60_000);
      if (offset + piece.length - taken > INPUT_WINDOW_BYTES) {
        await more.promise;
        continue;
      }
      attachment.write({ offset, bytes: piece });
      offset += piece.length;
    }
    attachment.endInput(bytes.length);
    assert.match((await readAll(attachment)).stdout.toString(), new RegExp(digest(bytes)));
  });

  it("has a terminal with the size and the name that were asked for", async () => {
    await using bench = await startExecBench();
    const terminal = { rows: 30, cols: 100, term: "xterm-256color", modes: null };
    const attachment = await bench.start('stty size; echo "$TERM"; read line; stty size; echo "$line"', { terminal });
    await readOutput(attachment, "xterm-256color");
    attachment.resize({ rows: 40, cols: 120 });
    attachment.write({ offset: 0, bytes: Buffer.from("typed\r") });
    const rest = (await readAll(attachment)).stdout.toString();
    assert.match(rest, /40 120\r\ntyped\r\n$/);
    assert.equal(attachment.end?.exitCode, 0);
  });

  it("is a login shell when no command is given", async () => {
    await using bench = await startExecBench();
    const attachment = await bench.start(null, { stdin: true });
    attachment.write({ offset: 0, bytes: Buffer.from('shopt -q login_shell && echo "login $BASH"\nexit 4\n') });
    assert.match((await readAll(attachment)).stdout.toString(), /^login \/bin\/bash$/m);
    assert.equal(attachment.end?.exitCode, 4);
  });

  it("gets signals, ends with 128 and the number, and with 124 when its time is over", async () => {
    await using bench = await startExecBench();
    const attachment = await bench.start("echo ready; exec sleep 100");
    await readOutput(attachment, "ready");
    attachment.signal(2);
    await readAll(attachment);
    assert.deepEqual(attachment.end, { exitCode: 130, signal: 2, timedOut: false, lost: null });
    const slow = await bench.start("exec sleep 100", { timeoutMs: 50 });
    await readAll(slow);
    assert.equal(slow.end?.exitCode, 124);
    assert.equal(slow.end?.timedOut, true);
  });

  it("that does not exist ends with 127, one without stdin takes none, an unknown folder is told", async () => {
    await using bench = await startExecBench();
    const missing = await bench.start("no-such-program");
    assert.match((await readAll(missing)).stderr.toString(), /not found/);
    assert.equal(missing.end?.exitCode, 127);
    assert.throws(() => missing.write({ offset: 0, bytes: Buffer.from("x") }), code("validation_failed"));
    await assert.rejects(bench.start("true", { cwd: "/no/such/folder" }), code("guest_failed"));
    await waitFor(async () => (await readdir(bench.directory)).length === 1, { what: "nothing of what did not start" });
  });

  it("refuses input with a gap, beyond its window, and after its end; what came already is left out", async () => {
    await using bench = await startExecBench();
    const attachment = await bench.start("sleep 0.2; cat", { stdin: true });
    assert.throws(() => attachment.write({ offset: 1, bytes: Buffer.from("x") }), code("validation_failed"));
    assert.throws(
      () => attachment.write({ offset: 0, bytes: Buffer.alloc(INPUT_WINDOW_BYTES + 1) }),
      code("validation_failed"),
    );
    attachment.write({ offset: 0, bytes: Buffer.from("abc") });
    attachment.write({ offset: 1, bytes: Buffer.from("bcde") });
    assert.throws(() => attachment.endInput(9), code("validation_failed"));
    attachment.endInput(5);
    attachment.endInput(5);
    assert.throws(() => attachment.write({ offset: 5, bytes: Buffer.from("x") }), code("validation_failed"));
    assert.equal((await readAll(attachment)).stdout.toString(), "abcde");
  });
});

describe("a client that goes and comes back", () => {
  it("goes on at any byte it has not acknowledged", async () => {
    await using bench = await startExecBench();
    const { execId } = await bench.start("seq 1 20000");
    const expected = numbers(20_000);
    for (const offset of [0, 1, 65_511, 65_512, expected.length - 1, 7]) {
      const { stdout } = await waitFor(
        () =>
          bench
            .attach(execId, offset)
            .then(readUnacknowledged)
            .catch(() => undefined),
        {
          what: `output from ${offset}`,
        },
      );
      assert.equal(digest(stdout), digest(expected.subarray(offset)));
    }
    await assert.rejects(bench.attach(execId, expected.length + 1), code("validation_failed"));
    await assert.rejects(
      bench.execs.attachExec(execId, { accountId: randomUUID() as AccountId, offset: 0 }),
      code("exec_not_found"),
    );
  });

  it("takes the command over from a connection that was not noticed to be dead", async () => {
    await using bench = await startExecBench();
    const first = await bench.start("echo a; exec sleep 100");
    await readOutput(first, "a");
    const reading = first.read();
    const second = await bench.attach(first.execId, 0);
    await assert.rejects(reading, code("exec_taken_over"));
    first.detach();
    second.signal(9);
    assert.equal((await readAll(second)).stdout.toString(), "a\n");
  });

  it("that stays away: the command gets SIGHUP when its time is over, and is forgotten later", async () => {
    await using bench = await startExecBench({ detachMs: 50, keptMs: 300 });
    const { execId, detach } = await bench.start(
      "trap 'echo hup; exit 3' HUP; echo ready; while :; do sleep 0.05; done",
    );
    detach();
    const again = await waitFor(
      async () => {
        const attachment = await bench.attach(execId, 0);
        if (attachment.end) return attachment;
        attachment.detach();
        return undefined;
      },
      { what: "the end", intervalMs: 120 },
    );
    assert.equal((await readAll(again)).stdout.toString(), "ready\nhup\n");
    assert.equal(again.end?.exitCode, 3);
    again.detach();
    await waitFor(async () => (await readdir(bench.directory)).length === 0, { what: "an empty folder" });
  });

  describe("whose connection the command belongs to", () => {
    const ENDS = { endsWithClient: true } as const;

    it("that leaves: the command gets SIGHUP at once, and is forgotten when it has ended", async () => {
      await using bench = await startExecBench();
      await using temp = await makeTempDir();
      const file = join(temp.path, "hung-up");
      const attachment = await bench.start(
        `trap 'echo hup > ${file}; exit' HUP; echo on; while :; do sleep 0.05; done`,
        ENDS,
      );
      await readOutput(attachment, "on");
      attachment.detach();
      await waitFor(async () => (await readdir(bench.directory)).length === 0, { what: "an empty folder" });
      assert.equal(await readFile(file, "utf8"), "hup\n");
    });

    it("is gone for good with the server, and so is the command", async () => {
      await using bench = await startExecBench();
      const attachment = await bench.start("exec sleep 100", ENDS);
      await bench.restart();
      await waitFor(async () => (await readdir(bench.directory)).length === 0, { what: "an empty folder" });
      await assert.rejects(bench.attach(attachment.execId, 0), code("exec_not_found"));
    });

    it("and is silent: the guest is not in use for it", async () => {
      mock.timers.enable({ apis: ["setInterval"] });
      try {
        await using bench = await startExecBench();
        await bench.start("exec sleep 100", ENDS);
        mock.timers.tick(20_000);
        assert.equal(bench.touches, 0);
        await bench.start("exec sleep 100");
        mock.timers.tick(20_000);
        assert.equal(bench.touches, 1);
      } finally {
        mock.timers.reset();
      }
    });
  });

  it("that is slow makes the command wait, with no more on disk than its limit", async () => {
    const spoolBytes = 4 * 1024 * 1024;
    await using bench = await startExecBench({ spoolBytes });
    const attachment = await bench.start("seq 1 3000000");
    const folder = join(bench.directory, attachment.execId);
    const size = () => folderBytes(folder);
    await waitFor(async () => (await size()) >= spoolBytes, { what: "a full spool" });
    const [first] = await attachment.read();
    assert.equal(first?.offset, 0);
    assert.ok((await size()) <= spoolBytes + 2 * 1024 * 1024, "it waits");
    attachment.detach();
    const { stdout } = await readAll(await bench.attach(attachment.execId, 0));
    assert.equal(digest(stdout), digest(numbers(3_000_000)));
    assert.ok((await size()) < spoolBytes / 2, "what was read is deleted");
  });
});

async function readUnacknowledged(attachment: ExecAttachment): Promise<{ readonly stdout: Buffer }> {
  const pieces: Buffer[] = [];
  for (let outputs = await attachment.read(); outputs.length > 0; outputs = await attachment.read())
    pieces.push(...outputs.map(({ bytes }) => bytes));
  return { stdout: Buffer.concat(pieces) };
}

describe("a guest that sleeps", () => {
  it("keeps its commands; input wakes it, and none is lost", async () => {
    await using bench = await startExecBench();
    const attachment = await bench.start("while read line; do echo got $line; done; echo over", { stdin: true });
    attachment.write({ offset: 0, bytes: Buffer.from("one\n") });
    await readOutput(attachment, "got one");
    await bench.sleep();
    attachment.write({ offset: 4, bytes: Buffer.from("two\n") });
    attachment.endInput(8);
    assert.equal((await readAll(attachment)).stdout.toString(), "got two\nover\n");
    assert.equal(bench.wakes, 1);
  });

  it("is on stable storage when it sleeps, and goes on", async () => {
    await using bench = await startExecBench();
    const attachment = await bench.start("echo before; cat; exit 6", { stdin: true });
    await readOutput(attachment, "before");
    await bench.sleep();
    await bench.execs.owner.settle(GUEST);
    attachment.write({ offset: 0, bytes: Buffer.from("after") });
    attachment.endInput(5);
    assert.equal((await readAll(attachment)).stdout.toString(), "after");
    await bench.execs.owner.settle(GUEST);
    assert.equal(attachment.end?.exitCode, 6);
  });

  it("takes a signal as a reason to wake, and a start", async () => {
    await using bench = await startExecBench();
    const attachment = await bench.start("exec sleep 100");
    await bench.sleep();
    attachment.signal(15);
    await readAll(attachment);
    assert.equal(attachment.end?.exitCode, 143);
    await bench.sleep();
    assert.equal((await readAll(await bench.start("echo awake"))).stdout.toString(), "awake\n");
  });

  it("whose VM is lost ends its commands, with a reason", async () => {
    await using bench = await startExecBench();
    const attachment = await bench.start("echo before; exec sleep 100");
    await readOutput(attachment, "before");
    bench.execs.owner.ended(GUEST, "QEMU was killed");
    await readAll(attachment);
    assert.deepEqual(attachment.end, {
      ...{ exitCode: 137, signal: null, timedOut: false },
      lost: "the VM has ended: QEMU was killed",
    });
  });
});

describe("a restart of the server", () => {
  it("loses and doubles no byte of output or input, and keeps the exit code", async () => {
    await using bench = await startExecBench();
    const { execId } = await bench.start("cat; seq 1 400000; exit 9", { stdin: true });
    const input = numbers(30_000);
    let attachment = await bench.attach(execId, 0);
    attachment.write({ offset: 0, bytes: input.subarray(0, 100_000) });
    await bench.restart();
    attachment = await bench.attach(execId, 0);
    const from = attachment.inputOffset;
    assert.ok(from >= attachment.inputTaken && from <= 100_000);
    attachment.write({ offset: from, bytes: input.subarray(from) });
    attachment.endInput(input.length);
    await attachment.read();
    await bench.restart();
    attachment = await bench.attach(execId, 0);
    attachment.endInput(attachment.inputOffset);
    await waitFor(() => attachment.end ?? undefined, { what: "the end" });
    await bench.restart();
    attachment = await bench.attach(execId, 0);
    const { stdout } = await readAll(attachment);
    assert.equal(digest(stdout), digest(Buffer.concat([input, numbers(400_000)])));
    assert.equal(attachment.end?.exitCode, 9);
  });

  it("forgets an end of input that was written down and not sent", async () => {
    await using bench = await startExecBench();
    const { execId } = await bench.start("cat", { stdin: true });
    const file = join(bench.directory, execId, "exec.json");
    const stored = JSON.parse(await readFile(file, "utf8"));
    await writeFile(file, JSON.stringify({ ...stored, input_end_seq: 0 }));
    await bench.restart();
    const attachment = await bench.attach(execId, 0);
    attachment.write({ offset: 0, bytes: Buffer.from("one ") });
    await readOutput(attachment, "one ");
    await bench.restart();
    const next = await bench.attach(execId, 4);
    next.write({ offset: 4, bytes: Buffer.from("two") });
    next.endInput(7);
    assert.equal((await readAll(next)).stdout.toString(), "two");
  });

  it("ends commands whose guest is gone, and sweeps what belongs to none", async () => {
    await using bench = await startExecBench();
    const { execId } = await bench.start("exec sleep 100");
    bench.agent.control.destroy(); // the VM ends while the server is away
    bench.agent.bulk.destroy();
    await bench.execs[Symbol.asyncDispose]();
    await mkdir(join(bench.directory, randomUUID()));
    await mkdir(join(bench.directory, "something"));
    const limits = {
      perGuest: 1,
      spoolBytes: 1024 * 1024,
      accountSpoolBytes: 1024 * 1024,
      detachMs: 1_000,
      keptMs: 1_000,
    };
    await using execs = await openExecSessions({ guests: createGuests(), log: silentLogger }, bench.directory, limits);
    execs.settle();
    assert.deepEqual(execs.ids(), [execId]);
    assert.deepEqual(await readdir(bench.directory), [execId]);
    const attachment = await execs.attachExec(execId, { accountId: ACCOUNT, offset: 0 });
    await readAll(attachment);
    assert.match(attachment.end?.lost ?? "", /VM in which it ran has ended/);
  });
});

describe("a command that its guest was not asked for yet", () => {
  it("is not there after a restart, so that its client starts it anew", async () => {
    await using temp = await makeTempDir();
    const limits = {
      perGuest: 1,
      spoolBytes: 1024 * 1024,
      accountSpoolBytes: 1024 * 1024,
      detachMs: 1_000,
      keptMs: 1_000,
    };
    const guests = createGuests();
    const wake = Promise.withResolvers<never>();
    guests.add(GUEST, { use: () => wake.promise, touch() {} });
    await using killed = await openExecSessions({ guests, log: silentLogger }, temp.path, limits);
    const execId = randomUUID() as ExecId;
    const starting = killed.startExec({
      ...{ execId, guest: GUEST, accountId: ACCOUNT, command: "true", terminal: null, stdin: false },
      ...{ environment: {}, cwd: null, timeoutMs: null, leavesGroup: false, endsWithClient: false },
    });
    await waitFor(async () => (await readdir(temp.path)).length === 1, { what: "its folder" });
    await using execs = await openExecSessions({ guests, log: silentLogger }, temp.path, limits);
    await assert.rejects(execs.attachExec(execId, { accountId: ACCOUNT, offset: 0 }), code("exec_not_found"));
    wake.reject(new Error("killed"));
    await assert.rejects(starting, /killed/);
  });
});

describe("interruptions at random", () => {
  it("lose and double nothing", async () => {
    const seed = seedFrom(process.env.MAGS_TEST_SEED);
    const random = createSeededRandom(seed);
    await using bench = await startExecBench({ spoolBytes: 2 * 1024 * 1024 });
    const input = numbers(600_000);
    let attachment = await bench.start("tee /dev/stderr", { stdin: true });
    const { execId } = attachment;
    const got = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
    let offset = 0;
    let sent = 0;
    let over = false;
    while (!over) {
      for (let steps = random.between(1, 10); steps > 0 && !over; steps--) {
        sent = Math.max(sent, attachment.inputOffset);
        const room = INPUT_WINDOW_BYTES - (sent - attachment.inputTaken);
        const piece = input.subarray(sent, sent + Math.min(room, random.between(1, 90_000)));
        attachment.write({ offset: sent, bytes: piece });
        sent += piece.length;
        if (sent === input.length) attachment.endInput(sent);
        const outputs = await attachment.read();
        over = outputs.length === 0;
        for (const output of outputs) {
          assert.equal(output.offset, offset, `seed ${seed}`);
          got[output.source].push(output.bytes);
          offset += output.bytes.length;
        }
        if (random.chance(0.7)) attachment.acknowledge(offset);
      }
      const kind = random.next();
      if (kind < 0.3) await bench.restart();
      else if (kind < 0.5) {
        await bench.sleep();
        await bench.wake();
      } else if (kind < 0.7) attachment.detach();
      if (!over) {
        attachment = await bench.attach(execId, offset);
        sent = attachment.inputOffset;
      }
    }
    assert.equal(digest(Buffer.concat(got.stdout)), digest(input), `stdout, seed ${seed}`);
    assert.equal(digest(Buffer.concat(got.stderr)), digest(input), `stderr, seed ${seed}`);
    assert.deepEqual(bench.agent.violations, []);
  });
});

describe("many commands", () => {
  it("run at once; one more than may is refused with what to do", async () => {
    await using bench = await startExecBench({ perGuest: 100 });
    const attachments = await Promise.all(
      Array.from({ length: 100 }, (_, n) => bench.start(`read x; echo ${n} $x`, { stdin: true })),
    );
    await assert.rejects(bench.start("true"), code("too_many_requests"));
    for (const attachment of attachments) attachment.write({ offset: 0, bytes: Buffer.from("go\n") });
    const texts = await Promise.all(
      attachments.map(async (attachment) => (await readAll(attachment)).stdout.toString()),
    );
    assert.deepEqual(
      texts,
      Array.from({ length: 100 }, (_, n) => `${n} go\n`),
    );
    await readAll(await bench.start("true"));
  });

  it("are held by one client: who lost one can do nothing to it, and is told", async () => {
    await using bench = await startExecBench();
    const first = await bench.start("cat; exit 5", { stdin: true });
    let told: unknown;
    first.onTakenOver((error) => {
      told = error;
    });
    const second = await bench.attach(first.execId, 0);
    assert.ok(code("exec_taken_over")(told));
    assert.throws(() => first.write({ offset: 0, bytes: Buffer.from("no") }), code("exec_taken_over"));
    first.signal(9);
    first.hangUp();
    second.write({ offset: 0, bytes: Buffer.from("yes") });
    second.endInput(3);
    assert.equal((await readAll(second)).stdout.toString(), "yes");
    assert.equal(second.end?.exitCode, 5);
  });

  it("that were hung up are killed, also when a client came back and left meanwhile", { timeout: 30_000 }, async () => {
    await using bench = await startExecBench({ detachMs: 1 });
    const first = await bench.start("trap '' HUP; echo ready; while :; do sleep 0.1; done");
    await readOutput(first, "ready");
    first.hangUp();
    first.detach();
    (await bench.attach(first.execId, 0)).detach();
    await waitFor(async () => (await bench.attach(first.execId, 0)).end?.signal === 9, {
      what: "the end",
      deadlineMs: 20_000,
    });
  });

  it("have together no more unread output than their account may, and go on when it is read", async () => {
    const accountSpoolBytes = 8 * 1024 * 1024;
    await using bench = await startExecBench({ spoolBytes: 16 * 1024 * 1024, accountSpoolBytes });
    const unread = await Promise.all(Array.from({ length: 4 }, () => bench.start("head -c 12000000 /dev/zero")));
    const read = await bench.start("seq 1 1000000");
    assert.equal(digest((await readAll(read)).stdout), digest(numbers(1_000_000)));
    // Beyond the limit each may have its 2 MiB, what the guest's window lets through, and what is being written.
    const sizes = await Promise.all(unread.map(({ execId }) => folderBytes(join(bench.directory, execId))));
    assert.ok(sizes.reduce((sum, size) => sum + size) < accountSpoolBytes + 4 * 5 * 1024 * 1024, `${sizes}`);
    for (const attachment of unread) assert.equal((await readAll(attachment)).stdout.length, 12_000_000);
  });

  it("with one id are one", async () => {
    await using bench = await startExecBench();
    const execId = randomUUID() as ExecId;
    const results = await Promise.allSettled([bench.start("echo x", { execId }), bench.start("echo x", { execId })]);
    assert.deepEqual(results.map(({ status }) => status).sort(), ["fulfilled", "rejected"]);
  });
});

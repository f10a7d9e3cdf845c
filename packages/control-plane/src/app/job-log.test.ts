import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError } from "@mags/core";
import { type AccountId, createLineSplitter, type LogRecord, type LogSource, newJobId } from "@mags/domain";
import { createSimulatedLog } from "@mags/test-kit";
import fc from "fast-check";
import type { Job, JobEvent } from "./job.ts";
import { createJobChanges } from "./job-changes.ts";
import { type LogItem, type LogPosition, type LogRequest, readJobLog } from "./job-log.ts";
import type { JobStore } from "./job-store.ts";

const { signal } = new AbortController();
const START: LogPosition = { output: 0, event: 0 };

/** One job whose every step the test makes itself. */
function createWorld() {
  const changes = createJobChanges();
  let clockMs = 0;
  const log = createSimulatedLog(() => clockMs);
  const events: JobEvent[] = [];
  let opened = false;
  let outputEnded = false;
  const size = { image: "standard", vcpus: 1, memoryMiB: 1024, diskGiB: 2, egress: "filtered" } as const;
  let job: Job = {
    ...{ id: newJobId(), accountId: "a" as AccountId, name: "j", status: "running", size, labels: {}, noSync: false },
    ...{ microVmId: null, exitCode: null, errorMessage: null, scriptDurationMs: null },
    ...{ createdAt: new Date(0), startedAt: null, completedAt: null, workspaceId: null, persistent: false },
    ...{ noSleep: false, startupCommand: null, idleMinutes: null, sandbox: null, scriptEndedAt: null },
  };
  const store = {
    get: async () => job,
    events: async (_id, afterId) => events.filter((event) => event.id > afterId),
  } satisfies Partial<JobStore>;
  const node = {
    async openLog(_id: unknown, onChange: () => void) {
      if (!opened) throw new AppError("job_not_found", "none yet");
      return log.tail(onChange);
    },
  };
  return {
    // The reader uses no other calls of either.
    deps: { store: store as unknown as JobStore, node: node as never, changes },
    openLog: node.openLog,
    job: () => job,
    open() {
      opened = true;
      changes.notify(job.id, "reported");
    },
    write(source: LogSource, text: string) {
      clockMs++;
      log.append(source, text);
    },
    event(name: string) {
      clockMs++;
      events.push({ id: events.length * 3 + 1, at: new Date(clockMs), name, data: {} });
      changes.notify(job.id, "stored");
    },
    endOutput() {
      if (!outputEnded) log.end();
      outputEnded = true;
    },
    endJob() {
      job = { ...job, status: "completed", exitCode: 0 };
      changes.notify(job.id, "stored");
    },
    events,
  };
}

const show = (item: LogItem) =>
  item.kind === "event" ? `event ${item.event.id}` : `${item.source} ${item.bytes.toString("latin1")}`;

async function readAll(world: ReturnType<typeof createWorld>, request: Partial<LogRequest> = {}) {
  const items: LogItem[] = [];
  const whole: LogRequest = { form: "lines", platformEvents: false, after: START, follow: false, ...request };
  const batches = readJobLog(world.deps, world.job(), whole, { signal });
  for (;;) {
    const { value, done } = await batches.next();
    if (done) return { items, end: value };
    items.push(...value);
  }
}

describe("readJobLog", () => {
  it("gives complete lines of a job that runs, and the last one when its output has ended", async () => {
    const world = createWorld();
    world.open();
    world.write("stdout", "a\nb");
    assert.deepEqual((await readAll(world)).items.map(show), ["stdout a"]);
    world.endOutput();
    assert.deepEqual((await readAll(world)).items.map(show), ["stdout a", "stdout b"]);
  });

  it("gives the last line also where the node learns only from reading that the output has ended", async () => {
    const world = createWorld();
    world.open();
    world.write("stdout", "a");
    world.endOutput();
    const openLog = async (id: unknown, onChange: () => void) => {
      const tail = await world.openLog(id, onChange);
      let finished = false;
      return {
        ...tail,
        read: async (from: number) => {
          const records = await tail.read(from);
          finished = tail.ended() && records.length === 0;
          return records;
        },
        ended: () => finished,
      };
    };
    const late = { ...world, deps: { ...world.deps, node: { openLog } as never } };
    assert.deepEqual((await readAll(late)).items.map(show), ["stdout a"]);
  });

  it("puts platform events between output by time, and the end of the job behind all output", async () => {
    const world = createWorld();
    world.event("submitted");
    world.event("started");
    world.open();
    world.write("stdout", "a\n");
    world.event("note");
    world.event("completed");
    world.write("stdout", "late\n");
    world.endOutput();
    world.endJob();
    const { items } = await readAll(world, { platformEvents: true });
    assert.deepEqual(items.map(show), ["event 1", "event 4", "stdout a", "event 7", "stdout late", "event 10"]);
  });

  it("waits for a job that has no output yet, and ends with the job as it was stored", async () => {
    const world = createWorld();
    const reading = readAll(world, { follow: true });
    await new Promise(setImmediate);
    world.open();
    world.write("stdout", "x\n");
    world.endOutput();
    await new Promise(setImmediate);
    world.endJob();
    const { items, end } = await reading;
    assert.deepEqual(items.map(show), ["stdout x"]);
    assert.equal(end?.status, "completed");
  });

  it("ends with a job that never had output", async () => {
    const world = createWorld();
    world.endJob();
    const { items, end } = await readAll(world, { follow: true });
    assert.deepEqual(items, []);
    assert.equal(end?.status, "completed");
  });

  it("rejects with the reason when nobody reads any more", async () => {
    const world = createWorld();
    const controller = new AbortController();
    const request: LogRequest = { form: "lines", platformEvents: false, after: START, follow: true };
    const next = readJobLog(world.deps, world.job(), request, controller).next();
    controller.abort(new Error("gone"));
    await assert.rejects(next, /gone/);
  });

  it("loses nothing and repeats nothing, however it is cut off and taken up again", async () => {
    const step = fc.oneof(
      { weight: 5, arbitrary: fc.record({ do: fc.constant("write"), text: fc.stringMatching(/^[ab\n]{1,9}$/) }) },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("event"), text: fc.constant("note") }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("pause"), text: fc.constant("") }) },
    );
    await fc.assert(
      fc.asyncProperty(
        fc.array(step, { maxLength: 25 }),
        fc.array(fc.integer({ min: 1, max: 6 }), { minLength: 1, maxLength: 5 }),
        fc.constantFrom("lines", "pieces"),
        fc.boolean(),
        async (steps, cuts, form, platformEvents) => {
          const world = createWorld();
          const reading = readInCuts(world, { form, platformEvents, follow: true }, cuts);
          world.open();
          const records: LogRecord[] = [];
          for (const [index, { do: what, text }] of steps.entries()) {
            const source = index % 3 === 0 ? "stderr" : "stdout";
            if (what === "write") {
              world.write(source, text);
              records.push({ index: records.length + 1, source, atMs: 0, bytes: Buffer.from(text) });
            }
            if (what === "event") world.event(text);
            if (what === "pause") await new Promise(setImmediate);
          }
          world.endOutput();
          world.event("completed");
          world.endJob();
          const got = (await reading).map(show);
          const want = form === "pieces" ? records : linesOf(records);
          assert.deepEqual(
            got.filter((text) => !text.startsWith("event")),
            want.map(({ source, bytes }) => `${source} ${bytes.toString()}`),
          );
          assert.deepEqual(
            got.filter((text) => text.startsWith("event")),
            platformEvents ? world.events.map((event) => `event ${event.id}`) : [],
          );
        },
      ),
      { numRuns: 300 },
    );
  });
});

function linesOf(records: readonly LogRecord[]) {
  const splitter = createLineSplitter();
  return [...records.flatMap((record) => splitter.push(record)), ...splitter.end()];
}

/** Reads on and on, each time only so many items before it goes away and comes back with its last position. */
async function readInCuts(
  world: ReturnType<typeof createWorld>,
  request: Omit<LogRequest, "after">,
  cuts: readonly number[],
): Promise<LogItem[]> {
  const items: LogItem[] = [];
  for (let turn = 0; ; turn++) {
    const after = items.at(-1)?.position ?? START;
    const batches = readJobLog(world.deps, world.job(), { ...request, after }, { signal });
    let left = cuts[turn % cuts.length] ?? 1;
    for (;;) {
      const { value, done } = await batches.next();
      if (done) return items;
      items.push(...value.slice(0, left));
      left -= value.length;
      if (left <= 0) break;
    }
    await batches.return(null);
  }
}

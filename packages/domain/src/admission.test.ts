import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { type AccountLimits, addUsage, exceededLimit, NO_USAGE } from "./account-limits.ts";
import {
  type Admission,
  type AdmissionJob,
  type AdmissionLimits,
  type AdmissionPhase,
  createAdmission,
  type NodeRoom,
} from "./admission.ts";
import type { AccountId, JobId } from "./ids.ts";
import type { SandboxId } from "./sandbox.ts";

const ROOMY: NodeRoom = { freeMemoryMiB: 1_000_000, awaitingMemory: 0 };
const FULL: NodeRoom = { freeMemoryMiB: 0, awaitingMemory: 2 };
const OPEN: AdmissionLimits = { account: NO_USAGE, queuedPerAccount: 0, queued: 0 };

const job = (name: string, account = "a", size = {}): AdmissionJob => ({
  id: name as JobId,
  accountId: account as AccountId,
  size: { vcpus: 1, memoryMiB: 100, diskGiB: 1, ...size },
});
const admissionOf = (limits: Partial<AdmissionLimits> = {}) =>
  createAdmission({ ...OPEN, ...limits }, { nodeQueue: 2 });
const account = (limits: Partial<AccountLimits>) => ({ account: { ...NO_USAGE, ...limits } });
const id = (name: string) => name as JobId;

/** Admits all that may go. */
function drain(admission: ReturnType<typeof createAdmission>, room: NodeRoom): JobId[] {
  const ids: JobId[] = [];
  for (let next = admission.next(room); next; next = admission.next(room)) ids.push(next);
  return ids;
}

describe("exceededLimit", () => {
  it("names the first limit that a job would break, and nothing where 0 says that there is none", () => {
    const { size } = job("x");
    assert.equal(exceededLimit(NO_USAGE, addUsage(NO_USAGE, size, 1), size), null);
    const cases: readonly [Partial<AccountLimits>, keyof AccountLimits, number][] = [
      [{ vms: 1 }, "vms", 1],
      [{ vcpus: 1 }, "vcpus", 1],
      [{ memoryMiB: 199 }, "memoryMiB", 100],
      [{ diskGiB: 1 }, "diskGiB", 1],
    ];
    for (const [limits, limit, taken] of cases)
      assert.deepEqual(exceededLimit({ ...NO_USAGE, ...limits }, addUsage(NO_USAGE, size, 1), size), {
        ...{ limit, taken, asked: limit === "memoryMiB" ? 100 : 1, most: limits[limit] },
      });
  });
});

describe("createAdmission", () => {
  it("lets a job go at once when its account and the node have room", () => {
    const admission = admissionOf(account({ vms: 1 }));
    assert.deepEqual(admission.enter(job("a1"), ROOMY), { kind: "admitted" });
    assert.deepEqual(admission.enter(job("a2"), ROOMY), { kind: "waiting" });
    assert.deepEqual(admission.enter(job("b1", "b"), ROOMY), { kind: "admitted" });
    assert.deepEqual(drain(admission, ROOMY), []);
    assert.deepEqual(admission.waitReason(id("a2")), {
      ...{ exceeded: { limit: "vms", taken: 1, asked: 1, most: 1 }, ahead: 0 },
    });
    admission.release(id("a1"));
    assert.deepEqual(drain(admission, ROOMY), ["a2"]);
  });

  it("counts a sandbox until it is vacated, once however often it is told of, with its present size", () => {
    const admission = admissionOf(account({ vms: 1, diskGiB: 3 }));
    const { accountId, size } = job("x");
    const sandbox = { id: "s" as SandboxId, accountId, size };
    for (let n = 0; n < 2; n++) admission.occupy(sandbox);
    assert.deepEqual(admission.enter(job("a1"), ROOMY), { kind: "waiting" });
    assert.equal(admission.exceededBy(sandbox.id, { ...size, diskGiB: 3 }), null);
    assert.deepEqual(admission.exceededBy(sandbox.id, { ...size, diskGiB: 4 }), {
      ...{ limit: "diskGiB", taken: 0, asked: 4, most: 3 },
    });
    assert.equal(admission.exceededBy("other" as SandboxId, { ...size, diskGiB: 4 }), null);
    assert.equal(admission.resize(sandbox.id, { ...size, diskGiB: 4 })?.limit, "diskGiB");
    assert.equal(admission.resize(sandbox.id, { ...size, diskGiB: 3 }), null);
    assert.deepEqual(admission.sandboxes(), ["s"]);
    admission.vacate(sandbox.id);
    admission.vacate(sandbox.id);
    assert.deepEqual(drain(admission, ROOMY), ["a1"]);
  });

  it("keeps the order of an account also when a later job would fit", () => {
    const admission = admissionOf(account({ vcpus: 4 }));
    admission.enter(job("running", "a", { vcpus: 3 }), ROOMY);
    admission.enter(job("large", "a", { vcpus: 4 }), ROOMY);
    assert.deepEqual(admission.enter(job("small"), ROOMY), { kind: "waiting" });
    assert.deepEqual(drain(admission, ROOMY), []);
    assert.equal(admission.waitReason(id("small")).ahead, 1);
    admission.release(id("running"));
    assert.deepEqual(drain(admission, ROOMY), ["large"]);
    admission.release(id("large"));
    assert.deepEqual(drain(admission, ROOMY), ["small"]);
  });

  it("lets accounts take turns when the node is full, whoever came first with how many", () => {
    const admission = admissionOf();
    for (const name of ["a1", "a2", "a3", "a4"]) admission.enter(job(name), FULL);
    admission.enter(job("b1", "b"), FULL);
    admission.enter(job("c1", "c"), FULL);
    admission.enter(job("b2", "b"), FULL);
    assert.deepEqual(drain(admission, ROOMY), ["a1", "b1", "c1", "a2", "b2", "a3", "a4"]);
  });

  it("gives the node what it has memory for and a few more", () => {
    const admission = admissionOf();
    const names = ["1", "2", "3", "4", "5", "6"];
    const room = { freeMemoryMiB: 350, awaitingMemory: 0 };
    const kinds = names.map((name) => admission.enter(job(name), room).kind);
    assert.deepEqual(kinds, ["admitted", "admitted", "admitted", "admitted", "admitted", "waiting"]);
    for (const name of ["1", "2", "3"]) admission.handed(id(name));
    assert.deepEqual(drain(admission, { freeMemoryMiB: 50, awaitingMemory: 0 }), []);
    for (const name of ["4", "5"]) admission.handed(id(name));
    assert.deepEqual(drain(admission, { freeMemoryMiB: 50, awaitingMemory: 2 }), []);
    assert.deepEqual(drain(admission, { freeMemoryMiB: 50, awaitingMemory: 1 }), ["6"]);
  });

  it("lets no smaller job pass a large one whose turn it is", () => {
    const admission = admissionOf();
    admission.enter(job("large", "a", { memoryMiB: 800 }), FULL);
    assert.deepEqual(admission.enter(job("small", "b"), { freeMemoryMiB: 100, awaitingMemory: 0 }), {
      kind: "waiting",
    });
  });

  it("refuses only who would have to wait, and says whose limit it is", () => {
    const admission = admissionOf({ ...account({ vms: 1 }), queuedPerAccount: 1, queued: 2 });
    assert.equal(admission.enter(job("a1"), ROOMY).kind, "admitted");
    assert.equal(admission.enter(job("a2"), ROOMY).kind, "waiting");
    assert.deepEqual(admission.enter(job("a3"), ROOMY), { kind: "refused", by: "account" });
    assert.equal(admission.enter(job("b1", "b"), ROOMY).kind, "admitted");
    assert.equal(admission.enter(job("b2", "b"), ROOMY).kind, "waiting");
    assert.equal(admission.enter(job("c1", "c"), ROOMY).kind, "admitted");
    assert.deepEqual(admission.enter(job("c2", "c"), ROOMY), { kind: "refused", by: "server" });
    assert.equal(admission.phaseOf(id("c2")), undefined);
    assert.equal(admission.waiting, 2);
  });

  it("counts what it finds even beyond the limits, and admits again when there is room", () => {
    const admission = admissionOf(account({ vms: 1 }));
    admission.adopt(job("a1"), "started");
    admission.adopt(job("a2"), "handed");
    admission.adopt(job("a3"), "waiting");
    admission.release(id("a1"));
    assert.deepEqual(drain(admission, ROOMY), []);
    admission.forget(id("a2"));
    assert.deepEqual(drain(admission, ROOMY), ["a3"]);
  });

  it("puts a job that must be handed over again before the others of its account", () => {
    const admission = admissionOf();
    admission.enter(job("a1"), ROOMY);
    admission.handed(id("a1"));
    admission.enter(job("a2"), FULL);
    admission.requeue(id("a1"));
    assert.deepEqual(drain(admission, ROOMY), ["a1", "a2"]);
  });

  it("ignores repeated and late news", () => {
    const admission = admissionOf(account({ vms: 1 }));
    admission.enter(job("a1"), ROOMY);
    admission.started(id("a1"));
    admission.handed(id("a1"));
    assert.equal(admission.phaseOf(id("a1")), "started");
    admission.release(id("a1"));
    admission.release(id("a1"));
    admission.release(id("nobody"));
    assert.equal(admission.enter(job("a2"), ROOMY).kind, "admitted");
    assert.equal(admission.enter(job("a3"), ROOMY).kind, "waiting");
  });

  it("never exceeds limits, keeps each account's order, passes nobody by more than once a turn, and serves all in the end", () => {
    const names = ["a", "b", "c"];
    const size = fc.record({
      vcpus: fc.integer({ min: 1, max: 3 }),
      memoryMiB: fc.integer({ min: 1, max: 300 }),
      diskGiB: fc.integer({ min: 1, max: 3 }),
    });
    const step = fc.oneof(
      {
        weight: 3,
        arbitrary: fc.record({ do: fc.constant("enter" as const), account: fc.constantFrom(...names), size }),
      },
      { weight: 2, arbitrary: fc.record({ do: fc.constant("end" as const), which: fc.nat() }) },
      { weight: 1, arbitrary: fc.record({ do: fc.constant("stop" as const), which: fc.nat() }) },
    );
    const most = { vms: 3, vcpus: 5, memoryMiB: 500, diskGiB: 6 };
    const nodeMiB = 300;

    fc.assert(
      fc.property(fc.array(step, { minLength: 20, maxLength: 120 }), (steps) => {
        const admission = admissionOf({ account: most });
        const live: AdmissionJob[] = [];
        const waiting: AdmissionJob[] = [];
        const served: AdmissionJob[] = [];
        /** Services of others since an account could have been served. */
        const passed = new Map<string, number>();
        let count = 0;

        const usageOf = (name: string) =>
          live.filter((one) => one.accountId === name).reduce((sum, one) => addUsage(sum, one.size, 1), NO_USAGE);
        // The node takes memory in order of arrival; what does not fit waits there.
        function room(): NodeRoom {
          let free = nodeMiB;
          let stuck = 0;
          for (const one of live) {
            if (stuck > 0 || (one.size.memoryMiB > free && free < nodeMiB)) stuck++;
            else free -= one.size.memoryMiB;
          }
          return { freeMemoryMiB: free, awaitingMemory: stuck };
        }
        function begin(one: AdmissionJob): void {
          admission.handed(one.id);
          const before = exceededLimit(most, usageOf(one.accountId), one.size);
          assert.equal(before, null, `${one.id} exceeds ${before?.limit}`);
          live.push(one);
          served.push(one);
          assert.ok(room().awaitingMemory <= 2, "the node's queue is longer than it should be");
        }
        function drainAll(): void {
          for (let next = admission.next(room()); next; next = admission.next(room())) {
            const at = waiting.findIndex((one) => one.id === next);
            const [one] = waiting.splice(at, 1);
            assert.ok(one && at >= 0);
            assert.ok(
              waiting.slice(0, at).every((other) => other.accountId !== one.accountId),
              "order of the account",
            );
            passed.set(one.accountId, 0);
            for (const other of names) {
              const head = waiting.find((each) => each.accountId === other);
              const could = head && !exceededLimit(most, usageOf(other), head.size);
              if (other === one.accountId) continue;
              passed.set(other, could ? (passed.get(other) ?? 0) + 1 : 0);
              assert.ok((passed.get(other) ?? 0) < names.length, `${other} is starved`);
            }
            begin(one);
          }
        }

        for (const each of steps) {
          if (each.do === "enter") {
            const one = job(`${each.account}${++count}`, each.account, each.size);
            const { kind } = admission.enter(one, room());
            if (kind === "admitted") {
              assert.ok(
                waiting.every((other) => other.accountId !== one.accountId),
                "order of the account",
              );
              begin(one);
            } else waiting.push(one);
          } else if (each.do === "end" && live.length > 0) {
            const [one] = live.splice(each.which % live.length, 1);
            if (one) admission.release(one.id);
          } else if (each.do === "stop" && waiting.length > 0) {
            const [one] = waiting.splice(each.which % waiting.length, 1);
            if (one) admission.release(one.id);
            // An account that has nothing more to wait for gives up its turn.
            if (one && waiting.every((other) => other.accountId !== one.accountId)) passed.set(one.accountId, 0);
          }
          drainAll();
          assert.equal(admission.waiting, waiting.length);
        }
        while (live.length > 0) {
          const one = live.shift();
          if (one) admission.release(one.id);
          drainAll();
        }
        assert.deepEqual(waiting, [], "all were served");
        for (const one of admission.ids()) admission.forget(one);
        assert.deepEqual(drain(admission, ROOMY), []);
      }),
      { numRuns: 500 },
    );
  });

  it("keeps its books right through releases on the way, requeues, adoptions and forgetting, in any order", () => {
    const limits: AdmissionLimits = {
      account: { vms: 3, vcpus: 5, memoryMiB: 500, diskGiB: 6 },
      ...{ queuedPerAccount: 0, queued: 0 },
    };
    const nodeQueue = 2;
    const size = fc.record({
      vcpus: fc.integer({ min: 1, max: 3 }),
      memoryMiB: fc.integer({ min: 1, max: 300 }),
      diskGiB: fc.integer({ min: 1, max: 3 }),
    });
    const room = fc.record({ freeMemoryMiB: fc.integer({ min: 0, max: 900 }), awaitingMemory: fc.nat({ max: 2 }) });
    const ofNew = { account: fc.constantFrom("a", "b", "c"), size, room };
    const step = fc.oneof(
      { weight: 4, arbitrary: fc.record({ do: fc.constant("enter" as const), ...ofNew }) },
      { weight: 4, arbitrary: fc.record({ do: fc.constant("next" as const), room }) },
      {
        weight: 1,
        arbitrary: fc.record({
          ...{ do: fc.constant("adopt" as const), phase: fc.constantFrom("waiting", "handed", "started") },
          ...ofNew,
        }),
      },
      {
        weight: 8,
        arbitrary: fc.record({
          do: fc.constantFrom("handed", "started", "requeue", "release", "forget"),
          which: fc.nat(),
        }),
      },
    );

    fc.assert(
      fc.property(fc.array(step, { minLength: 10, maxLength: 80 }), (steps) => {
        const admission = createAdmission(limits, { nodeQueue });
        const model = createModel(limits, nodeQueue);
        let count = 0;
        for (const each of steps) {
          switch (each.do) {
            case "enter": {
              const one = job(`${each.account}${++count}`, each.account, each.size);
              assert.equal(admission.enter(one, each.room).kind, model.enter(one, each.room));
              break;
            }
            case "next":
              assert.equal(admission.next(each.room), model.next(each.room));
              break;
            case "adopt": {
              const one = job(`${each.account}${++count}`, each.account, each.size);
              admission.adopt(one, each.phase);
              model.add(one, each.phase);
              break;
            }
            default: {
              const ids = admission.ids();
              const one = ids[each.which % ids.length];
              if (!one) break;
              admission[each.do](one);
              model[each.do](one);
            }
          }
          model.compare(admission);
        }
        // Nothing may be left of any of it.
        for (const one of admission.ids()) {
          admission.forget(one);
          model.forget(one);
        }
        model.compare(admission);
        for (const name of ["a", "b", "c"]) {
          const whole = { vcpus: 5, memoryMiB: 500, diskGiB: 6 };
          assert.equal(admission.enter(job(`${name}last`, name, whole), ROOMY).kind, "admitted");
        }
      }),
      { numRuns: 1_000 },
    );
  });
});

/** The books without any count that is kept: everything is found anew from the phases, each time. */
function createModel(limits: AdmissionLimits, nodeQueue: number) {
  interface Entry {
    readonly job: AdmissionJob;
    phase: AdmissionPhase;
  }
  /** In the order in which they were admitted last. */
  let entries: Entry[] = [];
  /** Of each account, in order, and the accounts in the order of their turns. */
  const queues = new Map<AccountId, Entry[]>();
  const find = (jobId: JobId) => entries.find((entry) => entry.job.id === jobId);
  const waiting = () => [...queues.values()].flat();
  const fits = ({ accountId, size }: AdmissionJob) => {
    const usage = entries
      .filter(({ job, phase }) => job.accountId === accountId && ["admitted", "handed", "started"].includes(phase))
      .reduce((sum, { job }) => addUsage(sum, job.size, 1), NO_USAGE);
    return exceededLimit(limits.account, usage, size);
  };
  const inTurn = () => [...queues.values()].flatMap(([head]) => (head && !fits(head.job) ? [head] : []))[0];
  function hasRoom({ freeMemoryMiB, awaitingMemory }: NodeRoom): boolean {
    let [free, stuck] = [freeMemoryMiB, awaitingMemory];
    for (const { job, phase } of entries) {
      if (phase !== "admitted") continue;
      if (stuck > 0 || job.size.memoryMiB > free) stuck++;
      else free -= job.size.memoryMiB;
    }
    return stuck < nodeQueue;
  }
  function leaveQueue(entry: Entry): void {
    const { accountId } = entry.job;
    const left = (queues.get(accountId) ?? []).filter((other) => other !== entry);
    if (left.length > 0) queues.set(accountId, left);
    else queues.delete(accountId);
  }
  function set(entry: Entry | undefined, from: readonly AdmissionPhase[], phase: AdmissionPhase): void {
    if (!entry || !from.includes(entry.phase)) return;
    leaveQueue(entry);
    entry.phase = phase;
  }
  const release = (jobId: JobId) => set(find(jobId), ["waiting", "admitted", "handed", "started"], "over");
  function add(one: AdmissionJob, phase: AdmissionPhase): void {
    const entry = { job: one, phase };
    entries.push(entry);
    if (phase === "waiting") queues.set(one.accountId, [...(queues.get(one.accountId) ?? []), entry]);
  }

  return {
    add,
    release,
    enter(one: AdmissionJob, room: NodeRoom) {
      const free = !queues.has(one.accountId) && !fits(one) && !inTurn() && hasRoom(room);
      add(one, free ? "admitted" : "waiting");
      return free ? "admitted" : "waiting";
    },
    next(room: NodeRoom): JobId | null {
      const entry = inTurn();
      if (!entry || !hasRoom(room)) return null;
      set(entry, ["waiting"], "admitted");
      entries = [...entries.filter((other) => other !== entry), entry];
      const rest = queues.get(entry.job.accountId);
      queues.delete(entry.job.accountId);
      if (rest) queues.set(entry.job.accountId, rest);
      return entry.job.id;
    },
    handed: (jobId: JobId) => set(find(jobId), ["admitted"], "handed"),
    started: (jobId: JobId) => set(find(jobId), ["admitted", "handed"], "started"),
    requeue(jobId: JobId) {
      const entry = find(jobId);
      if (!entry || entry.phase === "over" || entry.phase === "waiting") return;
      entry.phase = "waiting";
      queues.set(entry.job.accountId, [entry, ...(queues.get(entry.job.accountId) ?? [])]);
    },
    forget(jobId: JobId) {
      release(jobId);
      entries = entries.filter(({ job }) => job.id !== jobId);
    },
    compare(admission: Admission) {
      assert.equal(admission.waiting, waiting().length);
      for (const { job, phase } of entries) {
        assert.equal(admission.phaseOf(job.id), phase);
        const queue = queues.get(job.accountId) ?? [];
        const reason = admission.waitReason(job.id);
        const head = queue[0];
        if (phase !== "waiting" || !head) assert.deepEqual(reason, { exceeded: null, ahead: 0 });
        else
          assert.deepEqual(reason, {
            exceeded: fits(head.job),
            ahead: queue.findIndex((entry) => entry.job.id === job.id),
          });
      }
    },
  };
}

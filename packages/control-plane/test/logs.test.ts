import assert from "node:assert/strict";
import { once } from "node:events";
import { type IncomingMessage, request } from "node:http";
import { after, afterEach, before, beforeEach, describe, it } from "node:test";
import type { LogTail } from "@mags/domain";
import {
  collectAll,
  createSimulatedNode,
  type SimulatedNode,
  type SimulatedRun,
  type StreamEvent,
  waitFor,
} from "@mags/test-kit";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";

const JOBS = "/api/v1/mags-jobs";
const MIB = 1024 * 1024;

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

describe("GET logs", () => {
  let plane: TestPlane;
  let node: SimulatedNode;
  let path: string;
  /** The script of the job of a test, which does what the test tells it. */
  let script: PromiseWithResolvers<SimulatedRun>;
  let exit: PromiseWithResolvers<number>;

  beforeEach(async () => {
    script = Promise.withResolvers();
    exit = Promise.withResolvers();
    node = createSimulatedNode({
      program: async (run) => {
        script.resolve(run);
        run.signal.addEventListener("abort", () => exit.resolve(143));
        return exit.promise;
      },
    });
    plane = await startTestPlane(await server.database(), { node, heartbeatMs: 20 });
  });
  afterEach(async () => {
    exit.resolve(0);
    await plane[Symbol.asyncDispose]();
  });

  async function startJob(): Promise<SimulatedRun> {
    const reply = await plane.admin.call("POST", JOBS, { script: "x", type: "inline", name: "job" });
    assert.equal(reply.status, 202);
    path = `${JOBS}/job/logs`;
    return script.promise;
  }

  const snapshot = async (query = "") => {
    const reply = await plane.admin.call("GET", `${path}?${query}`);
    assert.equal(reply.status, 200);
    return (reply.body as { logs: { message: string; level: string; source: string; timestamp: string }[] }).logs;
  };
  const messages = async (query = "") => (await snapshot(query)).map((entry) => `${entry.source} ${entry.message}`);

  async function collect(query: string, lastEventId?: string): Promise<StreamEvent[]> {
    const headers: Record<string, string> = lastEventId === undefined ? {} : { "last-event-id": lastEventId };
    return collectAll(plane.admin.events(`${path}?follow=1&${query}`, { headers }));
  }
  const told = (event: StreamEvent) => {
    const data = JSON.parse(event.data);
    return event.event === "end" ? `end ${data.status} ${data.exit_code}` : `${data.source} ${data.message}`;
  };

  it("gives stdout as info, stderr as error, and what the node wrote as system error", async () => {
    const run = await startJob();
    run.stdout("out\npart");
    run.stderr("err\n");
    run.system("output limit reached");
    const entries = await snapshot();
    assert.deepEqual(
      entries.map((entry) => [entry.source, entry.level, entry.message]),
      [
        ["stdout", "info", "out"],
        ["stderr", "error", "err"],
        ["system", "error", "output limit reached"],
      ],
    );
    assert.ok(entries.every((entry) => /Z$/.test(entry.timestamp)));
    assert.deepEqual(await messages("offset=1"), ["stderr err", "system output limit reached"]);
    assert.deepEqual(await messages("offset=9"), []);
    exit.resolve(0);
    await waitFor(async () => (await messages()).at(-1) === "stdout part", { what: "the last line" });
  });

  it("includes platform events on request", async () => {
    const run = await startJob();
    run.note("pool_empty", { message: "no parked clone was left" });
    await waitFor(async () => (await messages("system=1")).length === 3, { what: "three events" });
    const entries = await snapshot("system=1");
    assert.deepEqual([...new Set(entries.map((entry) => entry.level))], ["debug"]);
    assert.equal(entries[2]?.message, "no parked clone was left");
    assert.deepEqual(await messages(), []);
  });

  it("gives bytes exactly with base64, and replaces what is not UTF-8 without", async () => {
    const run = await startJob();
    const bytes = Buffer.from([0xff, 0x00, 0x0a, 0xc3, 0xa9]);
    run.stdout(bytes);
    exit.resolve(0);
    await collect("");
    const pieces = (await snapshot("encoding=base64")).map((entry) => Buffer.from(entry.message, "base64"));
    assert.deepEqual(Buffer.concat(pieces), bytes);
    assert.deepEqual(await messages(), ["stdout \ufffd\0", "stdout é"]);
  });

  it("is empty for a job that has no VM yet, and for one that never had output", async () => {
    node.hold();
    await plane.admin.call("POST", JOBS, { script: "x", type: "inline", name: "job" });
    path = `${JOBS}/job/logs`;
    assert.deepEqual(await messages(), []);
    await plane.admin.call("POST", `${JOBS}/job/stop`);
    assert.deepEqual(await messages(), []);
    assert.deepEqual((await collect("")).map(told), ["end completed undefined"]);
  });

  it("follows a job from before it runs to its end, whose status is the final one", async () => {
    node.hold();
    await plane.admin.call("POST", JOBS, { script: "x", type: "inline", name: "job" });
    path = `${JOBS}/job/logs`;
    const following = collect("");
    node.release();
    const run = await script.promise;
    run.stdout("a\nb");
    exit.resolve(7);
    const events = await following;
    assert.deepEqual(events.map(told), ["stdout a", "stdout b", "end completed 7"]);
    assert.deepEqual(
      events.map((event) => event.id),
      ["1", "2", null],
    );
  });

  it("sends output at once, with heartbeats between, on a reply that nothing may hold back", async () => {
    const run = await startJob();
    const response = await open("follow=1&encoding=base64");
    assert.equal(response.headers["content-type"], "text/event-stream; charset=utf-8");
    assert.equal(response.headers["cache-control"], "no-store");
    assert.equal(response.headers["x-accel-buffering"], "no");
    let text = "";
    response.on("data", (piece: Buffer) => {
      text += piece;
    });
    await waitFor(() => text.includes(":\n\n"), { what: "a heartbeat" });
    run.stdout("no newline");
    await waitFor(() => text.includes(Buffer.from("no newline").toString("base64")), { what: "the output" });
    response.destroy();
  });

  for (const query of ["", "encoding=base64", "system=1", "encoding=base64&system=1"])
    it(`goes on after Last-Event-ID without loss or repetition (${query || "lines"})`, async () => {
      const run = await startJob();
      run.stdout("a\nb");
      run.stderr("x\n");
      run.note("between", {});
      await waitFor(async () => (await messages("system=1")).some((text) => /between/.test(text)), {
        what: "the note",
      });
      run.stdout("c\n\nd");
      exit.resolve(0);
      const whole = await collect(query);
      assert.ok(whole.length >= 4);
      for (const [index, event] of whole.entries()) {
        if (event.id === null) continue;
        assert.deepEqual(await collect(query, event.id), whole.slice(index + 1), `after ${event.id}`);
      }
      const byQuery = await collect(`${query}&last_event_id=${whole[1]?.id}`);
      assert.deepEqual(byQuery, whole.slice(2));
      assert.deepEqual(await collect(`${query}&offset=2`), whole.slice(2));
    });

  it("refuses an id that is none of its own", async () => {
    await startJob();
    const reply = await plane.admin.call("GET", `${path}?follow=1`, undefined, { headers: { "last-event-id": "x" } });
    assert.equal(reply.status, 400);
    assert.match((reply.body as { error: string }).error, /^Last-Event-ID/);
  });

  it("serves many followers, who come and go as they like", async () => {
    const run = await startJob();
    const followers = Array.from({ length: 50 }, () => collect(""));
    const leaving = plane.admin.events(`${path}?follow=1`);
    run.stdout("a\n");
    assert.equal((await leaving.next()).done, false);
    await leaving.return(undefined);
    run.stdout("b\n");
    exit.resolve(0);
    for (const events of await Promise.all(followers))
      assert.deepEqual(events.map(told), ["stdout a", "stdout b", "end completed 0"]);
  });

  it("ends its streams without an end event when the server shuts down", async () => {
    const run = await startJob();
    run.stdout("a\n");
    const stream = plane.admin.events(`${path}?follow=1`);
    assert.equal((await stream.next()).done, false);
    const cut = assert.rejects(collectAll(stream));
    await plane.plane[Symbol.asyncDispose]();
    await cut;
  });

  it("reads no further ahead of a slow reader than buffers between them hold", async () => {
    const total = 48 * MIB;
    let read = 0;
    const openLog = node.openLog.bind(node);
    node.openLog = async (jobId, onChange) => {
      const tail = await openLog(jobId, onChange);
      return { ...tail, read: (from) => tail.read(from).then(counted) };
    };
    const counted = (records: Awaited<ReturnType<LogTail["read"]>>) => {
      read += records.reduce((sum, record) => sum + record.bytes.length, 0);
      return records;
    };
    const run = await startJob();
    run.stdout(Buffer.alloc(total, "x".repeat(1023).concat("\n")));
    exit.resolve(0);
    const response = await open("follow=1");
    let before = -1;
    await waitFor(
      () => {
        const settled = read === before && read > 0;
        before = read;
        return settled;
      },
      { what: "reading to stop", intervalMs: 300 },
    );
    assert.ok(read < 24 * MIB, `${read} bytes were read for a client that took none`);
    let lines = 0;
    response.on("data", (piece: Buffer) => {
      for (const byte of piece) if (byte === 0x0a) lines++;
    });
    await once(response, "end");
    assert.equal(read, total);
    // Three lines and a blank one for each entry, and as many without an id for the end; heartbeats have two.
    assert.ok(lines >= (total / 1024) * 4 + 3);
  });

  async function open(query: string): Promise<IncomingMessage> {
    const account = await plane.plane.accounts.ensureBootstrap();
    const { token } = await plane.plane.accounts.issueToken(account.id, "raw");
    const call = request(`${plane.url}${path}?${query}`, { headers: { authorization: `Bearer ${token.reveal()}` } });
    call.end();
    const [response] = await once(call, "response");
    response.on("error", () => {});
    return response;
  }
});

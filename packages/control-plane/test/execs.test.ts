import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import { once } from "node:events";
import http from "node:http";
import { connect, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { execs } from "@mags/api-schema";
import { type ExecTestClient, openExecClient, waitFor } from "@mags/test-kit";
import { startTestServer, type TestServer } from "./support/database.ts";
import { startTestPlane, type TestPlane } from "./support/plane.ts";

const JOBS = "/api/v1/mags-jobs";
const { EXEC_PROTOCOL: protocol } = execs;

let server: TestServer;
let plane: TestPlane;
before(async () => {
  server = await startTestServer();
  plane = await startTestPlane(await server.database(), { heartbeatMs: 100, corsOrigins: ["https://good.example"] });
  const { status } = await plane.admin.call("POST", JOBS, { script: "hang", type: "inline", name: "box" });
  assert.equal(status, 202);
  await waitFor(async () => (await statusOf("box")) === "running", { what: "the job" });
});
after(async () => {
  await plane[Symbol.asyncDispose]();
  await server[Symbol.asyncDispose]();
});

const statusOf = async (name: string) =>
  ((await plane.admin.call("GET", `${JOBS}/${name}/status`)).body as { status: string }).status;
const start = (command: string, options: object = {}) =>
  openExecClient(plane.admin, `${JOBS}/box/exec`, { command, ...options });
const attach = (execId: string, offset: number) =>
  openExecClient(plane.admin, `/api/v1/mags-execs/${execId}?offset=${offset}`);

describe("a streamed exec", () => {
  it("gives output by channel with offsets, and the exit code; done forgets it", async () => {
    const client = await start("echo out; sleep 0.1; echo err >&2; exit 5");
    const end = await client.message("end");
    assert.deepEqual(end, { type: "end", exit_code: 5, signal: null, timed_out: false, reason: null });
    assert.equal(client.text("stdout"), "out\n");
    assert.equal(client.text("stderr"), "err\n");
    client.send({ type: "done" });
    assert.deepEqual(await client.closed, [1000, "done"]);
    assert.equal((await plane.admin.connect(`/api/v1/mags-execs/${client.execId}`, { protocol })).status, 404);
  });

  it("takes input, says what of it was taken, and hears of its end", async () => {
    const client = await start("cat", { stdin: true });
    const { stdin_offset, stdin_window } = await client.message("started");
    assert.equal(stdin_offset, 0);
    assert.ok(stdin_window >= 65_536);
    client.input(0, "hello ");
    client.input(6, "world");
    await client.message("stdin_ack");
    client.send({ type: "stdin_end", offset: 11 });
    await client.message("end");
    assert.equal(client.text("stdout"), "hello world");
  });

  it("passes on the terminal, its size, signals and all that was asked for", async () => {
    const client = await start('echo "$TERM $GREETING"; exec sleep 100', {
      tty: { rows: 10, cols: 20, term: "vt100" },
      environment: { GREETING: "hi" },
    });
    await waitFor(() => client.text("stdout").includes("vt100 hi"), { what: "its output" });
    client.send({ type: "resize", rows: 33, cols: 44 });
    client.send({ type: "signal", signal: "SIGTERM" });
    await client.message("end");
    assert.deepEqual(plane.node.execs.resizes.at(-1), { rows: 33, cols: 44 });
    const { terminal, command } = plane.node.execs.started.at(-1) ?? {};
    assert.deepEqual(terminal, { rows: 10, cols: 20, term: "vt100", modes: null });
    assert.equal(command, 'echo "$TERM $GREETING"; exec sleep 100');
  });

  it("names the signal that ended it, and says when its time was over", async () => {
    const killed = await (await start("kill -9 $$")).message("end");
    assert.deepEqual([killed.exit_code, killed.signal], [137, "SIGKILL"]);
    const slow = await (await start("exec sleep 100", { timeout: 0.1 })).message("end");
    assert.deepEqual([slow.exit_code, slow.timed_out], [124, true]);
  });

  it("goes on from the client's last byte over a new connection, and takes an old one's place", async () => {
    const first = await start("printf 0123456789; read x; echo $x; exit 3", { stdin: true });
    await waitFor(() => first.text("stdout").length === 10, { what: "ten bytes" });
    const second = await attach(first.execId, 4);
    assert.equal((await first.closed)[0], 4409);
    await waitFor(() => second.text("stdout").length === 6, { what: "six bytes" });
    assert.equal(second.text("stdout"), "456789");
    second.input(0, "typed\n");
    second.socket.terminate();
    const third = await attach(first.execId, 10);
    const started = await third.message("started");
    if (started.stdin_offset === 0) third.input(0, "typed\n");
    assert.equal((await third.message("end")).exit_code, 3);
    assert.equal(third.text("stdout"), "typed\n");
  });

  it("ends when its client hangs up", async () => {
    const client = await start("trap 'exit 8' HUP; echo ready; while :; do sleep 0.02; done");
    await waitFor(() => client.text("stdout") === "ready\n", { what: "its output" });
    client.send({ type: "hangup" });
    assert.equal((await client.closed)[0], 1000);
    const again = await attach(client.execId, 0);
    assert.equal((await again.message("end")).exit_code, 8);
  });

  it("is sent no faster than its client acknowledges", async () => {
    const client = await start("head -c 5000000 /dev/zero");
    await waitFor(() => client.bytes >= execs.OUTPUT_WINDOW_BYTES, { what: "a full window" });
    const held = client.bytes;
    assert.ok(held < 2 * execs.OUTPUT_WINDOW_BYTES);
    client.acknowledges = true;
    client.send({ type: "ack", offset: held });
    await client.message("end");
    assert.equal(client.bytes, 5_000_000);
  });

  it("keeps its connection alive with pings, and gives up one that does not answer", async () => {
    const client = await start("exec sleep 100");
    await client.message("started");
    await once(client.socket, "ping");
    client.socket.pause(); // answers no more
    const pausedAt = performance.now();
    await waitFor(() => performance.now() - pausedAt > 700, { what: "several heartbeats" });
    client.socket.resume();
    assert.equal((await client.closed)[0], 1006);
    const again = await attach(client.execId, 0);
    again.send({ type: "signal", signal: "SIGKILL" });
    await again.message("end");
  });
});

describe("an exec that is refused", () => {
  const refusal = async (path: string, options: Parameters<typeof plane.admin.connect>[1] = { protocol }) => {
    const { status, body } = await plane.admin.connect(path, options);
    return [status, (body as { code: string }).code];
  };

  it("answers like any other request before anything is upgraded", async () => {
    assert.deepEqual(await refusal(`${JOBS}/nobody/exec`), [404, "job_not_found"]);
    assert.deepEqual(await refusal(`/api/v1/mags-execs/${randomUUID()}`), [404, "exec_not_found"]);
    assert.deepEqual(await refusal("/api/v1/mags-execs/nonsense"), [400, "validation_failed"]);
    assert.deepEqual(await refusal(`${JOBS}/box/exec`, {}), [400, "validation_failed"]);
    assert.deepEqual(await refusal(`${JOBS}/box/exec`, { protocol: "mags-exec.v9" }), [400, "validation_failed"]);
    assert.deepEqual(await refusal(`${JOBS}/box/status`), [200, undefined]);
    const plain = await plane.admin.call("GET", `${JOBS}/box/exec`);
    assert.equal(plain.status, 400);
    await plane.admin.call("POST", JOBS, { script: "exit 0", type: "inline", name: "gone" });
    await waitFor(async () => (await statusOf("gone")) === "completed", { what: "its end" });
    assert.deepEqual(await refusal(`${JOBS}/gone/exec`), [409, "job_not_running"]);
  });

  it("lets pages of its own and of configured origins in, and no others", async () => {
    const from = (origin: string) => refusal(`${JOBS}/nobody/exec`, { protocol, headers: { origin } });
    assert.deepEqual(await from("https://evil.example"), [403, "forbidden"]);
    assert.deepEqual(await from("null"), [403, "forbidden"]);
    assert.deepEqual(await from("https://good.example"), [404, "job_not_found"]);
    assert.deepEqual(await from(plane.url), [404, "job_not_found"]);
  });

  it("closes a connection whose place was taken, also one that waits for acknowledgements", async () => {
    const first = await start("head -c 3000000 /dev/zero; exec sleep 100");
    first.acknowledges = false;
    await waitFor(() => first.bytes >= execs.OUTPUT_WINDOW_BYTES, { what: "a full window" });
    const second = await attach(first.execId, 0);
    assert.equal((await first.closed)[0], 4409);
    second.send({ type: "hangup" });
    await second.closed;
  });

  it("says that a job has no VM yet", async () => {
    plane.node.hold();
    await plane.admin.call("POST", JOBS, { script: "hang", type: "inline", name: "waiting" });
    const client = await openExecClient(plane.admin, `${JOBS}/waiting/exec`, { command: "true" });
    const error = await client.message("error");
    assert.match(error.error, /no VM associated with this job/);
    assert.equal(error.code, "no_vm");
    assert.equal((await client.closed)[0], 4409);
    plane.node.release();
  });

  it("says what was wrong with a message, and closes", async () => {
    const cases: readonly [string, (client: ExecTestClient) => void, RegExp][] = [
      ["no JSON", ({ socket }) => socket.send("nonsense"), /must be JSON/],
      ["an unknown type", ({ socket }) => socket.send('{"type":"dance"}'), /type/],
      ["a second start", (client) => client.send({ type: "start", exec_id: randomUUID() }), /has a command already/],
      ["input with a gap", (client) => client.input(5, "x"), /missing/],
      ["input that is too short", ({ socket }) => socket.send(Buffer.from([0, 1])), /binary message/],
      ["input on another channel", ({ socket }) => socket.send(Buffer.alloc(20, 1)), /binary message/],
      ["an offset beyond numbers", ({ socket }) => socket.send(Buffer.from([0, ...Array(8).fill(255), 1])), /beyond/],
      ["an early done", (client) => client.send({ type: "done" }), /has not ended/],
      ["an ack of what was not sent", (client) => client.send({ type: "ack", offset: 99 }), /not sent/],
      ["an unknown signal", (client) => client.send({ type: "signal", signal: "SIGNONE" }), /signal/],
    ];
    for (const [what, act, text] of cases) {
      const client = await start("cat", { stdin: true });
      await client.message("started");
      act(client);
      const error = await client.message("error");
      assert.match(error.error, text, what);
      assert.deepEqual((await client.closed)[0], 4400, what);
      const again = await attach(client.execId, 0);
      again.send({ type: "hangup" });
      await again.closed;
    }
    const tooLarge = await start("cat", { stdin: true });
    tooLarge.socket.send(Buffer.alloc(execs.MAX_EXEC_MESSAGE_BYTES + 1));
    assert.equal((await tooLarge.closed)[0], 1009);
  });

  it("does not start what another exec is called", async () => {
    const client = await start("exec sleep 100");
    const twice = await openExecClient(plane.admin, `${JOBS}/box/exec`, { command: "true", exec_id: client.execId });
    assert.match((await twice.message("error")).error, /there is an exec .* already/);
  });
});

describe("other upgrades", () => {
  const upgrade = (headers: string) => `${headers}Upgrade: websocket\r\nSec-WebSocket-Version: 13\r\n\r\n`;
  const dial = (text: string, options: { readonly allowHalfOpen?: boolean } = {}) => {
    const { hostname, port } = new URL(plane.url);
    const socket = connect({ host: hostname, port: Number(port), ...options }).on("error", () => {});
    socket.write(text);
    return socket;
  };

  it("are ignored where an answer is under way on the connection, which goes on", { timeout: 20_000 }, async () => {
    const next = `GET ${JOBS}/box/exec HTTP/1.1\r\nHost: box\r\n${upgrade("Connection: Upgrade, close\r\n")}`;
    for (const [first, ...answers] of [
      ["Host: box\r\n", "HTTP/1.1 200", "HTTP/1.1 401"],
      // What Node answers by itself: the first is the last on its connection.
      ["", "HTTP/1.1 400"],
      ["Host: box\r\nExpect: foo\r\n", "HTTP/1.1 417", "HTTP/1.1 401"],
    ]) {
      const heard = await text(dial(`GET /readyz HTTP/1.1\r\n${first}\r\n${next}`));
      assert.deepEqual(heard.match(/HTTP\/1\.1 \d+/g), answers);
    }
    assert.equal((await plane.admin.call("GET", "/healthz")).status, 200);
  });

  it("that are refused leave no connection behind, whether their clients keep silent or go on sending", {
    timeout: 20_000,
  }, async () => {
    const said = `GET ${JOBS}/box/exec HTTP/1.1\r\nHost: box\r\n${upgrade("Connection: Upgrade\r\n")}`;
    for (const more of ["", "x"]) {
      const taken = Promise.withResolvers<Socket>();
      const onSocket = (message: unknown) => taken.resolve((message as { readonly socket: Socket }).socket);
      subscribe("net.server.socket", onSocket);
      const client = dial(said, { allowHalfOpen: true });
      const own = await taken.promise;
      unsubscribe("net.server.socket", onSocket);
      assert.equal(own.remotePort, client.localPort);
      const closed = once(own, "close");
      assert.match(await text(client), /^HTTP\/1\.1 401 /);
      client.write(more);
      await closed;
      client.destroy();
    }
  });

  it("are ignored: the request is answered as it is", async () => {
    const headers = { connection: "Upgrade, HTTP2-Settings", upgrade: "h2c", "http2-settings": "AAMAAABkAAQAAP__" };
    const status = await new Promise((resolve, reject) => {
      const call = http.request(`${plane.url}/healthz`, { headers }, (reply) => resolve(reply.statusCode));
      call.on("error", reject).end();
    });
    assert.equal(status, 200);
  });
});

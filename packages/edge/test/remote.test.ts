import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { type AppError, silentLogger } from "@mags/core";
import type { ExecAttachment } from "@mags/domain";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { connectUpstream, type RemoteUpstream, startEdgeServer } from "../src/index.ts";
import { type Apart, connectApart, createWhole, newSecret, soon } from "./apart.ts";
import { type LossyProxy, startLossyProxy } from "./lossy-proxy.ts";

const unavailable = (error: AppError) => error.code === "unavailable";

/** However it closes. */
const closed = (socket: Socket) => new Promise((resolve) => socket.once("close", resolve));

async function readAll(attachment: ExecAttachment): Promise<string> {
  let text = "";
  for (let outputs = await attachment.read(); outputs.length > 0; outputs = await attachment.read())
    for (const { bytes, offset } of outputs) {
      text += bytes.toString("latin1");
      attachment.acknowledge(offset + bytes.length);
    }
  return text;
}

describe("an edge apart from the server", () => {
  const whole = createWhole();
  let apart: Apart;
  let flood: Server;
  let floodPort: number;
  const flooded = new Set<Socket>();
  before(async () => {
    apart = await connectApart(whole.upstream);
    flood = createServer((socket) => {
      flooded.add(socket.on("error", () => {}));
      const pour = () => {
        while (socket.write(Buffer.alloc(64 * 1024)));
        socket.once("drain", pour);
      };
      pour();
    }).listen(0, "127.0.0.1");
    await once(flood, "listening");
    floodPort = (flood.address() as { port: number }).port;
  });
  after(async () => {
    for (const socket of flooded) socket.destroy();
    await apart[Symbol.asyncDispose]();
    whole.execs.endAll();
    await once(flood.close(), "close");
  });

  it("gets the host key, and finds who signs in", async () => {
    assert.equal((await apart.directory.hostKey()).reveal(), "a key");
    assert.equal(await apart.directory.find({ ...whole.attempt, login: "who" }, { signal: soon() }), null);
    assert.equal(await whole.signIn(apart), whole.guest);
  });

  it("hears of ports, and tells which it cannot listen on", async () => {
    const heard: number[][] = [];
    const stop = apart.directory.watchPorts(async (ports) => {
      heard.push([...ports]);
      return [...ports].filter((port) => port === 2);
    });
    const [watcher] = await waitFor(() => (whole.watchers.size > 0 ? [...whole.watchers] : null), {
      what: "a watcher",
    });
    assert.deepEqual(await watcher?.(new Set([1, 2])), [2]);
    assert.deepEqual(await watcher?.(new Set()), []);
    assert.deepEqual(heard, [[1, 2], []]);
    stop();
    await waitFor(() => whole.watchers.size === 0, { what: "the end of the watcher" });
  });

  it("carries 100 commands and 100 connections at once, each its own bytes", async () => {
    await whole.signIn(apart);
    await using echo = createServer({ allowHalfOpen: true }, (socket) =>
      socket.on("error", () => {}).pipe(socket),
    ).listen(0, "127.0.0.1");
    await once(echo, "listening");
    const { port } = echo.address() as { port: number };
    const command = async (n: number) => {
      const attachment = await apart.node.startExec(whole.start("cat; exit 3"));
      const text = `command ${n} `.repeat(1_000);
      attachment.write({ offset: 0, bytes: Buffer.from(text) });
      attachment.endInput(text.length);
      assert.equal(await readAll(attachment), text);
      assert.equal(attachment.end?.exitCode, 3);
      attachment.forget();
      attachment.detach();
    };
    const connection = async (n: number) => {
      const socket = await apart.node.connect(whole.guest, { host: "127.0.0.1", port }, { signal: soon() });
      const text = `connection ${n} `.repeat(1_000);
      await socket.write(Buffer.from(text));
      let heard = "";
      while (heard.length < text.length) heard += (await socket.read())?.toString() ?? assert.fail("it has ended");
      assert.equal(heard, text);
      socket.close();
    };
    await Promise.all(Array.from({ length: 100 }, (_, n) => Promise.all([command(n), connection(n)])));
    await waitFor(() => whole.execs.count === 0, { what: "the commands to be forgotten", deadlineMs: 60_000 });
  });

  it("leaves a connection when it has said all, and all of it arrives", async () => {
    await whole.signIn(apart);
    let received = 0;
    const ended = Promise.withResolvers<void>();
    await using slow = createServer({ allowHalfOpen: true }, (socket) => {
      socket
        .on("error", () => {})
        .on("data", (bytes) => {
          received += bytes.length;
          socket.pause();
          setImmediate(() => socket.resume());
        });
      socket.on("end", () => {
        ended.resolve();
        socket.end();
      });
      socket.on("close", () => ended.reject(new Error("it was reset")));
    }).listen(0, "127.0.0.1");
    await once(slow, "listening");
    const { port } = slow.address() as { port: number };
    const socket = await apart.node.connect(whole.guest, { host: "127.0.0.1", port }, { signal: soon() });
    await socket.write(Buffer.alloc(400_000));
    await socket.end();
    socket.close();
    await ended.promise;
    assert.equal(received, 400_000);
  });

  it("holds little of what its reader does not take, and lets all else pass", async () => {
    await whole.signIn(apart);
    const socket = await apart.node.connect(whole.guest, { host: "127.0.0.1", port: floodPort }, { signal: soon() });
    const command = await apart.node.startExec(whole.start("head -c 50000000 /dev/zero & exec cat >&2"));
    const [source] = flooded;
    assert.ok(source);
    // It stands still when all that is on the way is full.
    let written = -1;
    await waitFor(
      () => {
        const stands = written === source.bytesWritten && source.writableNeedDrain;
        written = source.bytesWritten;
        return stands;
      },
      { what: "the flood to be held up", intervalMs: 300, deadlineMs: 60_000 },
    );
    assert.ok(written < 16 * 1024 * 1024, String(written)); // of it most in the kernel's buffers
    // Its input is taken although nobody reads its output.
    const taken = new Promise<number>((resolve) => command.onInputTaken(resolve));
    command.write({ offset: 0, bytes: Buffer.from("some") });
    assert.equal(await taken, 4);
    const other = await apart.node.startExec(whole.start("echo passes"));
    assert.equal(await readAll(other), "passes\n");
    command.endInput(4);
    assert.equal((await readAll(command)).length, 50_000_004);
    for (const one of [other, command]) {
      one.forget();
      one.detach();
    }
    socket.close();
    await closed(source);
  });
});

describe("an edge whose connection fails", () => {
  const secret = newSecret();

  async function connectThrough(proxy: LossyProxy, pingMs = 5_000): Promise<RemoteUpstream> {
    const at = { host: "127.0.0.1", port: proxy.port, secret, pinging: { pingMs } };
    const remote = connectUpstream({ log: silentLogger }, at);
    await remote.connected({ signal: soon() });
    return remote;
  }
  const startServer = (whole: ReturnType<typeof createWhole>, options: { port?: number; pingMs?: number } = {}) => {
    const { port = 0, pingMs = 5_000 } = options;
    const at = { host: "127.0.0.1", port, secret, pinging: { pingMs } };
    return startEdgeServer({ upstream: whole.upstream, log: silentLogger }, at);
  };

  /** One of each kind of call, under way. @returns what becomes of them, and whether the server's ends have ended. */
  async function begin(whole: ReturnType<typeof createWhole>, remote: RemoteUpstream) {
    await whole.signIn(remote);
    await using scope = new AsyncDisposableStack();
    const server = scope.adopt(
      createServer((socket) => socket.on("error", () => {}).resume()).listen(0, "127.0.0.1"),
      (one) => void one.close(),
    );
    await once(server, "listening");
    const { port } = server.address() as { port: number };
    const arrived = once(server, "connection") as Promise<[Socket]>;
    const socket = await remote.node.connect(whole.guest, { host: "127.0.0.1", port }, { signal: soon() });
    const [far] = await arrived;
    const listener = await remote.node.listen(whole.guest, { host: "127.0.0.1", port: 0 }, { signal: soon() });
    const command = await remote.node.startExec(
      whole.start("echo ready; trap 'exit 9' HUP; while :; do sleep 0.05; done"),
    );
    assert.equal(String((await command.read())[0]?.bytes), "ready\n");
    const [reading, arriving, commanding] = [socket.read(), listener.next(), command.read()];
    const farEnd = closed(far);
    for (const one of [reading, commanding]) one.catch(() => {}); // looked at later
    const owned = scope.move();
    return {
      async failed() {
        await assert.rejects(reading, unavailable);
        assert.equal(await arriving, null);
        await assert.rejects(commanding, unavailable);
        await farEnd;
        await waitFor(() => !whole.execs.started.some(({ execId }) => whole.execs.runs(execId)), { what: "SIGHUP" });
        await owned.disposeAsync();
      },
    };
  }

  it("tries again where each connection is lost before a word was said", async () => {
    await using temp = await makeTempDir();
    const path = join(temp.path, "server.sock");
    let taken = 0;
    await using server = createServer((socket) => {
      taken++;
      socket.destroy();
    }).listen(path);
    await once(server, "listening");
    await using scope = new AsyncDisposableStack();
    for (let n = 0; n < 20; n++) scope.use(connectUpstream({ log: silentLogger }, { path }));
    await waitFor(() => taken >= 60, { what: "further tries" });
  });

  it("loses what is under way, which ends at the server too, and connects anew", async () => {
    const whole = createWhole();
    await using server = await startServer(whole);
    await using proxy = await startLossyProxy(server.port);
    await using remote = await connectThrough(proxy);
    remote.directory.watchPorts(async () => []);
    await waitFor(() => whole.watchers.size === 1, { what: "a watcher" });
    const [watcher] = whole.watchers;
    const under = await begin(whole, remote);
    proxy.cut();
    await under.failed();
    await remote.connected({ signal: soon() });
    await whole.signIn(remote);
    await waitFor(() => whole.watchers.size === 1 && !whole.watchers.has(watcher as never), { what: "a new watcher" });
  });

  it("finds out that nothing comes any more, at both ends", async () => {
    const whole = createWhole();
    await using server = await startServer(whole, { pingMs: 300 });
    await using proxy = await startLossyProxy(server.port);
    await using remote = await connectThrough(proxy, 300);
    const under = await begin(whole, remote);
    proxy.silence();
    await under.failed();
    await remote.connected({ signal: soon() });
  });

  it("outlives the server, whose commands are hung up, and tells it then what it missed", async () => {
    const whole = createWhole();
    const first = await startServer(whole);
    await using remote = connectUpstream({ log: silentLogger }, { host: "127.0.0.1", port: first.port, secret });
    await remote.connected({ signal: soon() });
    const under = await begin(whole, remote);
    await first[Symbol.asyncDispose]();
    await under.failed();
    await waitFor(() => remote.problem !== null, { what: "the loss" });
    await assert.rejects(whole.signIn(remote), unavailable);
    const note = {
      what: "ended",
      login: "box",
      clientAddress: "192.0.2.1",
      user: null,
      data: { bytes_in: 1 },
    } as const;
    remote.directory.note(note);
    await using _second = await startServer(whole, { port: first.port });
    await remote.connected({ signal: soon() });
    assert.equal(await whole.signIn(remote), whole.guest);
    await waitFor(() => whole.notes.length > 0, { what: "the note" });
    const [{ data, ...rest }] = whole.notes as [(typeof whole.notes)[number]];
    assert.deepEqual(rest, { what: "ended", login: "box", clientAddress: "192.0.2.1", user: null });
    assert.equal(data.edge, "127.0.0.1");
    assert.equal(data.bytes_in, 1);
  });
});

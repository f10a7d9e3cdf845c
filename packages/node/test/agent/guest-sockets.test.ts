import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { AppError } from "@mags/core";
import { type GuestId, type GuestListener, type GuestSocket, type GuestSockets, newJobId } from "@mags/domain";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { createGuests, type Guests, guestOf } from "../../src/guests/guests.ts";
import { createGuestSockets } from "../../src/guests/sockets.ts";
import { type HostAgent, startHostAgent } from "./host-agent.ts";

describe("sockets of a guest", () => {
  let agent: HostAgent;
  let dir: TempDir;
  let sockets: GuestSockets;
  let guests: Guests;
  let wake: () => void;
  let touches = 0;
  const gone = new AbortController();
  const id: GuestId = newJobId();
  const quietly = { signal: new AbortController().signal };
  const servers: Server[] = [];

  before(async () => {
    agent = await startHostAgent("agent-asan");
    dir = await makeTempDir();
    guests = createGuests();
    const awake = { id, agent: await agent.connect(), gone: gone.signal };
    wake = () => guests.connected(awake);
    const handle = guestOf(awake);
    guests.add(id, { ...handle, touch: () => void touches++ });
    sockets = createGuestSockets(guests);
  });
  after(async () => {
    for (const server of servers) server.close();
    assert.deepEqual(agent.violations, []);
    await agent[Symbol.asyncDispose]();
    await dir[Symbol.asyncDispose]();
  });

  /** Something in the guest that listens. */
  async function serve(handle: (socket: Socket) => void, path?: string): Promise<number> {
    const server = createServer({ allowHalfOpen: true }, (socket) => {
      socket.on("error", () => {});
      handle(socket);
    });
    servers.push(server);
    if (path === undefined) server.listen(0, "127.0.0.1");
    else server.listen(path);
    await once(server, "listening");
    return path === undefined ? (server.address() as AddressInfo).port : 0;
  }

  async function readAll(socket: GuestSocket): Promise<Buffer> {
    const parts: Buffer[] = [];
    for (let piece = await socket.read(); piece; piece = await socket.read()) parts.push(piece);
    return Buffer.concat(parts);
  }

  it("dial by number, by name and by path, and carry bytes both ways", async () => {
    const path = join(dir.path, "s");
    const port = await serve((socket) => socket.pipe(socket));
    await serve((socket) => socket.pipe(socket), path);
    const content = Buffer.alloc(3_000_000, "0123456789abcdef\n");
    for (const to of [{ host: "127.0.0.1", port }, { host: "localhost", port }, { path }]) {
      const socket = await sockets.connect(id, to, quietly);
      const reading = readAll(socket);
      await socket.write(content);
      await socket.end();
      assert.ok((await reading).equals(content));
      assert.equal(await socket.read(), null);
      socket.close();
    }
    assert.ok(touches > 0);
  });

  it("say why they cannot be had", async () => {
    const code = "connection_refused";
    const to = (host: string, port = 1) => sockets.connect(id, { host, port }, quietly);
    await assert.rejects(to("127.0.0.1"), {
      code,
      message: /^cannot connect to 127\.0\.0\.1:1: nothing listens there/,
    });
    await assert.rejects(to("no-such-host.invalid"), { code, message: /does not know that name|cannot look it up/ });
    await assert.rejects(to("-s"), { code: "validation_failed" });
    await assert.rejects(sockets.connect(id, { path: "/no/socket" }, quietly), { code, message: /no such socket/ });
    const port = await serve(() => {});
    const at = { host: "127.0.0.1", port };
    await assert.rejects(sockets.listen(id, at, quietly), { code, message: /something listens there already/ });
    await assert.rejects(sockets.connect(newJobId(), at, quietly), { code: "job_not_running" });
  });

  it("cannot be had where there can be none", async () => {
    const code = "validation_failed";
    for (const port of [0, -1, 1.5, 65_536, 70_000, Number.NaN])
      await assert.rejects(sockets.connect(id, { host: "127.0.0.1", port }, quietly), {
        code,
        message: /from 1 to 65535/,
      });
    await assert.rejects(sockets.listen(id, { host: "127.0.0.1", port: 65_536 }, quietly), { code });
    await assert.rejects(sockets.connect(id, { host: "fe80::1%eth0", port: 1 }, quietly), { code, message: /zone/ });
    await assert.rejects(sockets.listen(id, { path: "/no/folder/s" }, quietly), {
      code: "connection_refused",
      message: /^cannot listen on \/no\/folder\/s: its folder is not there/,
    });
  });

  it("dial localhost by either of its addresses", async () => {
    const server = createServer((socket) => socket.end("by six"));
    servers.push(server);
    server.listen({ port: 0, host: "::1", ipv6Only: true });
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const socket = await sockets.connect(id, { host: "localhost", port }, quietly);
    assert.equal((await readAll(socket)).toString(), "by six");
    await socket.end();
    socket.close();
  });

  it("are told of what comes in, and take it", async () => {
    const listener = await sockets.listen(id, { host: "localhost", port: 0 }, quietly);
    const client = connect(listener.port ?? 0, "127.0.0.1");
    client.end("hello");
    const arrival = await listener.next();
    assert.equal(arrival?.peer?.address, "127.0.0.1");
    const socket = await listener.accept(arrival?.connection ?? 0);
    assert.equal((await readAll(socket)).toString(), "hello");
    await socket.write(Buffer.from("welcome"));
    await socket.end();
    const [answer] = await once(client, "data");
    assert.equal(String(answer), "welcome");
    const next = listener.next();
    listener.close();
    await assert.rejects(next, { code: "guest_failed" });
    await assert.rejects(listener.accept(9), { code: "guest_failed" });
  });

  /** What comes in when somebody dials that address. */
  async function arrivalFrom(listener: GuestListener, host: string): Promise<string> {
    const client = connect(listener.port ?? 0, host).on("error", () => {});
    client.end(`to ${host}`);
    const arrival = await listener.next();
    const socket = await listener.accept(arrival?.connection ?? 0);
    assert.equal((await readAll(socket)).toString(), `to ${host}`);
    socket.close();
    return arrival?.peer?.address ?? "";
  }

  it("listen on both addresses of localhost, and on all where none is said", async () => {
    for (const host of ["localhost", "", "*"]) {
      const listener = await sockets.listen(id, { host, port: 0 }, quietly);
      for (const from of ["127.0.0.1", "::1", "127.0.0.1"]) assert.equal(await arrivalFrom(listener, from), from);
      const others = host === "localhost" ? [] : ["127.0.0.2"];
      for (const to of others) assert.match(await arrivalFrom(listener, to), /^127\.0\.0\./);
      listener.close();
    }
  });

  it("listen where one of two addresses can be had, and say what the first says where none can", async () => {
    const server = createServer();
    servers.push(server);
    server.listen({ port: 0, host: "::1", ipv6Only: true });
    await once(server, "listening");
    const { port } = server.address() as AddressInfo;
    const listener = await sockets.listen(id, { host: "localhost", port }, quietly);
    assert.equal(await arrivalFrom(listener, "127.0.0.1"), "127.0.0.1");
    await assert.rejects(sockets.listen(id, { host: "localhost", port }, quietly), {
      code: "connection_refused",
      message: /something listens there already/,
    });
    listener.close();
  });

  it("wait for the guest to be awake where they are not to wake it, which is no use of it", async () => {
    const [at, before] = [{ host: "localhost", port: 0 }, touches];
    const leaving = new AbortController();
    const left = sockets.listen(id, at, { signal: leaving.signal, wakes: false });
    const waiting = sockets.listen(id, at, { ...quietly, wakes: false });
    leaving.abort(new Error("nobody waits"));
    await assert.rejects(left, /nobody waits/);
    wake();
    (await waiting).close();
    (await sockets.listen(id, at, { ...quietly, wakes: false })).close();
    guests.suspended(id);
    const again = sockets.listen(id, at, { ...quietly, wakes: false });
    wake();
    (await again).close();
    assert.equal(touches, before);
    await assert.rejects(sockets.listen(newJobId(), at, { ...quietly, wakes: false }), { code: "job_not_running" });
  });

  it("have sent everything once the end is taken, also to who has ended and reads late", async () => {
    const path = join(dir.path, "late");
    let heard = 0;
    let how = "";
    const late = (socket: Socket) => {
      socket.on("error", (error: NodeJS.ErrnoException) => {
        how = error.code ?? "";
      });
      socket.on("end", () => {
        how ||= "end";
      });
      socket.on("data", (piece) => {
        heard += piece.length;
      });
      socket.pause();
      socket.end("goodbye");
      setTimeout(() => socket.resume(), 300);
    };
    const port = await serve(late);
    await serve(late, path);
    const bytes = Buffer.alloc(350_000, "x");
    for (const to of [{ path }, { host: "127.0.0.1", port }]) {
      [heard, how] = [0, ""];
      const socket = await sockets.connect(id, to, quietly);
      assert.equal((await readAll(socket)).toString(), "goodbye");
      await socket.write(bytes);
      await socket.end();
      socket.close();
      await waitFor(() => how !== "", { what: "the end" });
      assert.deepEqual([heard, how], [bytes.length, "end"]);
    }
  });

  it("let what was sent arrive when they are closed after their end", async () => {
    let heard = 0;
    let how = "";
    const port = await serve((socket) => {
      socket.on("error", (error: NodeJS.ErrnoException) => {
        how = error.code ?? "";
      });
      socket.on("end", () => {
        how ||= "end";
      });
      socket.on("data", (piece) => {
        heard += piece.length;
      });
      socket.pause();
      socket.write(Buffer.alloc(100_000), () => setTimeout(() => socket.resume(), 200));
    });
    const socket = await sockets.connect(id, { host: "127.0.0.1", port }, quietly);
    await socket.write(Buffer.alloc(100_000));
    await socket.end();
    socket.close();
    await waitFor(() => how !== "", { what: "the end" });
    assert.deepEqual([heard, how], [100_000, "end"]);
  });

  it("still give what came when the other side reads no more", async () => {
    const path = join(dir.path, "rude");
    let answered = false;
    let writes = 0;
    // Answers, and closes without having read all.
    await serve((socket) => {
      socket.once("data", () => {
        socket.pause();
        socket.write(Buffer.alloc(1_000_000, "a"), () => socket.destroy());
      });
      socket.on("close", () => {
        answered = true;
      });
    }, path);
    const socket = await sockets.connect(id, { path }, quietly);
    const writing = (async () => {
      await socket.write(Buffer.from("question"));
      for (; writes < 100_000; writes++) await socket.write(Buffer.alloc(16_384));
      await socket.end();
    })();
    const failed = assert.rejects(writing, { code: "guest_failed" });
    let heard = 0;
    const reading = async () => {
      for (let piece = await socket.read(); piece; piece = await socket.read()) heard += piece.length;
    };
    let isTold = false;
    failed.then(() => {
      isTold = true;
    });
    let before = -1;
    const stands = () => {
      const same = writes === before;
      before = writes;
      return answered && same;
    };
    await waitFor(stands, { what: "who writes to wait, or to be told", intervalMs: 100 });
    assert.equal(isTold, false);
    await reading().catch((error) => assert.match(error.message, /ECONNRESET/));
    assert.equal(heard, 1_000_000);
    await failed;
    socket.close();
  });

  it("hold back who sends faster than is read", async () => {
    let sent = 0;
    const port = await serve((socket) => {
      const piece = Buffer.alloc(64_000);
      const more = () => {
        while (socket.writable && socket.write(piece)) sent += piece.length;
      };
      socket.on("drain", more);
      more();
    });
    const socket = await sockets.connect(id, { host: "127.0.0.1", port }, quietly);
    let last = -1;
    const stands = () => {
      const before = last;
      last = sent;
      return sent === before;
    };
    await waitFor(stands, { what: "the sender to wait", intervalMs: 200 });
    assert.ok(sent < 32_000_000, String(sent));
    socket.close();
  });

  it("end when their user goes, and with the guest", async () => {
    let open = 0;
    const port = await serve((socket) => {
      open++;
      socket.on("close", () => open--);
    });
    const going = new AbortController();
    const first = await sockets.connect(id, { host: "127.0.0.1", port }, { signal: going.signal });
    const second = await sockets.connect(id, { host: "127.0.0.1", port }, quietly);
    await waitFor(() => open === 2, { what: "both" });
    const reading = first.read();
    going.abort(new Error("he has gone"));
    await assert.rejects(reading, /he has gone/);
    await waitFor(() => open === 1, { what: "the end of the first" });
    const waiting = second.read();
    gone.abort(new AppError("microvm_lost", "the VM was lost"));
    await assert.rejects(waiting, { code: "microvm_lost" });
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, createServer as createTcp, type Socket } from "node:net";
import type { Duplex } from "node:stream";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { WebSocket, WebSocketServer } from "ws";
import { listening, say, startUrlFront, type UrlFront } from "./url-front.ts";

const HANDSHAKE =
  "GET /x HTTP/1.1\r\nHost: box.example\r\nConnection: Upgrade\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n";

describe("a WebSocket of a guest", () => {
  const guest = createServer((from, to) => void to.end(`plain ${from.headers.upgrade} ${from.headers.connection}`));
  const server = new WebSocketServer({ server: guest });
  let front: UrlFront;
  before(async () => {
    server.on("connection", (socket, { headers, url }) => {
      if (url === "/headers") socket.send(JSON.stringify(headers));
      socket.on("error", () => {});
      socket.on("message", (bytes, isBinary) => socket.send(bytes, { binary: isBinary }));
    });
    front = await startUrlFront(await listening(guest));
  });
  after(async () => {
    await front[Symbol.asyncDispose]();
    server.close();
    for (const client of server.clients) client.terminate();
    guest.close();
  });
  async function open(path = "/", options = {}): Promise<WebSocket> {
    const socket = new WebSocket(`ws://127.0.0.1:${front.port}${path}`, options);
    await once(socket, "open");
    return socket;
  }

  it("passes messages both ways, small and large, and how it ends", async () => {
    const socket = await open();
    for (const size of [0, 1, 125, 65_536, 5_000_000]) {
      socket.send(Buffer.alloc(size, 7));
      const [message] = await once(socket, "message");
      assert.equal(message.length, size);
    }
    socket.close(4_001, "enough");
    const [code, reason] = await once(socket, "close");
    assert.deepEqual([code, reason.toString()], [4_001, "enough"]);
  });

  it("begins as it was asked for, with what the guest may know", async () => {
    const socket = new WebSocket(`ws://127.0.0.1:${front.port}/headers`, ["chat"], {
      headers: { Cookie: "mags-access=1" },
    });
    const [message] = await once(socket, "message");
    const headers = JSON.parse(message.toString());
    assert.equal(headers["x-forwarded-for"], "127.0.0.1");
    assert.equal(headers.cookie, undefined);
    assert.deepEqual([socket.protocol, headers["sec-websocket-protocol"]], ["chat", "chat"]);
    socket.close();
    await once(socket, "close");
  });

  it("ends at one side when it ends at the other", async () => {
    const [first, second] = [await open(), await open()];
    first.terminate();
    while (server.clients.size > 1) await new Promise((resolve) => setTimeout(resolve, 10));
    for (const client of server.clients) client.terminate();
    const [code] = await once(second, "close");
    assert.equal(code, 1_006);
  });

  it("is opened by a link, which the guest does not see", async () => {
    const seen = once(server, "connection");
    const socket = await open("/w?a=1&mags-access=open", { headers: { host: "private.example" } });
    const [, { url }] = await seen;
    assert.equal(url, "/w?a=1");
    socket.close();
    await once(socket, "close");
  });

  it("is over when the client has said all, whatever the guest makes of that", async () => {
    const quiet = createServer();
    let guestSide: Duplex | undefined;
    quiet.on("upgrade", (_request, socket) => {
      guestSide = socket;
      socket.on("error", () => {}).resume();
      socket.write("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n");
    });
    const atQuiet = await startUrlFront(await listening(quiet));
    try {
      const client = connect(atQuiet.port, "127.0.0.1").on("error", () => {});
      client.write(`${HANDSHAKE}Upgrade: websocket\r\n\r\n`);
      await once(client, "data");
      client.end();
      await once(client, "close");
      await waitFor(() => atQuiet.notes.length === 1, { what: "it to be over" });
    } finally {
      await atQuiet[Symbol.asyncDispose]();
      guestSide?.destroy();
      quiet.close();
    }
  });

  it("is what the guest is asked for, and nothing else: of other protocols it hears nothing", async () => {
    const heard = await say(
      front.port,
      `${HANDSHAKE.replace("Upgrade\r\n", "Upgrade, close\r\n")}Upgrade: h2c\r\n\r\n`,
    );
    assert.match(heard, /^HTTP\/1\.1 200 .*plain undefined undefined/s);
    const smuggled = `${HANDSHAKE}Upgrade: websocket\r\nContent-Length: 4\r\nConnection: close\r\n\r\nGET `;
    assert.match(await say(front.port, smuggled), /^HTTP\/1\.1 200 .*plain undefined/s);
  });

  it("that the guest does not answer is given up there when the client leaves, however it does", async () => {
    const silent = createTcp({ allowHalfOpen: true });
    await using apart = await startUrlFront(await listening(silent as Server));
    for (const leave of [(client: Socket) => client.end(), (client: Socket) => client.resetAndDestroy()]) {
      const asked = once(silent, "connection") as Promise<[Socket]>;
      const client = connect(apart.port, "127.0.0.1").on("error", () => {});
      client.write(`${HANDSHAKE}Upgrade: websocket\r\n\r\n`);
      const [guestSocket] = await asked;
      const over = new Promise((resolve) => guestSocket.on("error", resolve).on("end", resolve).resume());
      await once(guestSocket, "data");
      leave(client);
      await over;
      guestSocket.destroy();
    }
    await waitFor(() => apart.notes.length === 2, { what: "what was noted" });
    assert.deepEqual(
      apart.notes.map(({ status }) => status),
      [499, 499],
    );
    silent.close();
  });

  it("has what its client said before it was opened", async () => {
    const client = connect(front.port, "127.0.0.1");
    const heard: Buffer[] = [];
    client.on("data", (bytes) => heard.push(bytes));
    client.write(`${HANDSHAKE}Upgrade: websocket\r\n\r\n`);
    // A text, "hi", and a close, both masked with zeros.
    client.write(Buffer.from([0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69, 0x88, 0x80, 0, 0, 0, 0]));
    await once(client, "close");
    const [opened, said] = Buffer.concat(heard).toString("latin1").split("\r\n\r\n");
    assert.match(opened ?? "", /^HTTP\/1\.1 101 /);
    assert.equal(said?.slice(0, 4), "\x81\x02hi");
  });

  it("that the guest does not open is answered as the guest does", async () => {
    const bad = `${HANDSHAKE.replace("Version: 13", "Version: 99")}Upgrade: websocket\r\n\r\n`;
    assert.match(await say(front.port, bad), /^HTTP\/1\.1 4\d\d .*Connection: close/s);
  });
});

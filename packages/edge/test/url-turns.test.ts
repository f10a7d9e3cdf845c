/** Clients that ask again before they are answered, say what cannot be read, or leave. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type Socket } from "node:net";
import { after, before, beforeEach, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { LIMITS, listening, say, startUrlFront, type UrlFront } from "./url-front.ts";

const ask = (path: string, headers = "") => `GET ${path} HTTP/1.1\r\nHost: box.example\r\n${headers}\r\n`;
const CHUNKED = "Host: box.example\r\nTransfer-Encoding: chunked\r\n\r\n";
const WEB_SOCKET = ask("/ws", "Connection: Upgrade\r\nUpgrade: websocket\r\n");
const CONNECT = "CONNECT box.example:80 HTTP/1.1\r\nHost: box.example\r\n\r\n";

describe("a connection of a client", () => {
  let guest: Server;
  let port: number;
  let front: UrlFront;
  let seen: string[] = [];
  before(async () => {
    guest = createServer((from, to) => {
      seen.push(`${from.url}`);
      from.resume();
      if (from.url === "/early") to.write("early");
      else if (from.url !== "/hang") to.end(`of ${from.url}.`);
    });
    guest.on("upgrade", (from, socket) => {
      socket.on("error", () => {});
      if (from.headers.origin === undefined)
        socket.end("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\nhi");
      else socket.end("HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno");
    });
    port = await listening(guest);
    front = await startUrlFront(port);
  });
  beforeEach(() => {
    seen = [];
    front.notes.splice(0);
  });
  after(async () => {
    await front[Symbol.asyncDispose]();
    guest.closeAllConnections();
    guest.close();
  });

  const dial = (to: UrlFront = front) => connect(to.port, "127.0.0.1").on("error", () => {});
  async function noted(count: number): Promise<readonly string[]> {
    await waitFor(() => front.notes.length >= count, { what: "what was noted" });
    return front.notes.map(({ path, status }) => `${path} ${status}`);
  }

  it("has its answers in order, and after them what becomes of the rest", async () => {
    const both = `${ask("/1")}${ask("/2")}`;
    for (const rest of ["GARBAGE\r\n\r\n", `POST /3 HTTP/1.1\r\n${CHUNKED}-1\r\n`]) {
      front.notes.splice(0);
      const heard = await say(front.port, both + rest);
      const parts = heard.match(/HTTP\/1\.1 \d+ |of \/\d\./g);
      assert.deepEqual(parts, ["HTTP/1.1 200 ", "of /1.", "HTTP/1.1 200 ", "of /2.", "HTTP/1.1 400 "]);
      assert.deepEqual(await noted(2), ["/1 200", "/2 200"]);
    }
  });

  it("becomes nothing else while answers are to come", async () => {
    const closing = WEB_SOCKET.replace("Upgrade\r\n", "Upgrade, close\r\n");
    const heard = await say(front.port, ask("/1") + closing);
    assert.match(heard, /^HTTP\/1\.1 200 .*of \/1\.HTTP\/1\.1 200 .*of \/ws\.$/s);
    assert.equal(await say(front.port, ask("/hang") + CONNECT), "");
    assert.deepEqual(await noted(3), ["/1 200", "/ws 200", "/hang 499"]);
  });

  it("has nothing asked of the guest that waits when the client leaves", async () => {
    const client = dial();
    client.write(`${ask("/hang")}${ask("/1")}${ask("/2")}${WEB_SOCKET}`);
    await waitFor(() => seen.length === 1, { what: "the first" });
    client.destroy();
    await noted(1);
    await say(front.port, ask("/last", "Connection: close\r\n"));
    assert.deepEqual(await noted(2), ["/hang 499", "/last 200"]);
    assert.deepEqual(seen, ["/hang", "/last"]);
  });

  it("may have eight requests wait, with heads as large as one may be, and is closed when it has more", async () => {
    const [few, large] = [ask("/1"), ask("/1", `Large: ${"x".repeat(LIMITS.headerBytes / 3)}\r\n`)];
    const last = ask("/last", "Connection: close\r\n");
    for (const waiting of [few.repeat(7), large.repeat(2)]) {
      const heard = await say(front.port, ask("/1") + waiting + last);
      assert.match(heard, /of \/last\.$/);
    }
    for (const waiting of [few.repeat(9), large.repeat(3)]) {
      front.notes.splice(0);
      assert.equal(await say(front.port, ask("/hang") + waiting), "");
      assert.deepEqual(await noted(1), ["/hang 499"]);
    }
  });

  it("is cut, and nothing said, where what cannot be read follows an answer that has begun", async () => {
    const client = dial();
    let heard = "";
    client.on("data", (bytes) => {
      heard += bytes.toString("latin1");
    });
    client.write(`POST /early HTTP/1.1\r\n${CHUNKED}2\r\nab\r\n`);
    await waitFor(() => heard.includes("early"), { what: "the answer to begin" });
    client.write("no chunk\r\n");
    await once(client, "close");
    assert.match(heard, /^HTTP\/1\.1 200 /);
    assert.doesNotMatch(heard, / 400 /);
    assert.deepEqual(await noted(1), ["/early 200"]);
  });

  it("is that of a client that has left when it ends in the middle of a request", async () => {
    const client = dial();
    client.end(`POST /hang HTTP/1.1\r\n${CHUNKED}4\r\nab`);
    await once(client.resume(), "close");
    assert.deepEqual(await noted(1), ["/hang 499"]);
  });

  it("is over when the client has left, also where its head has asked for something else", async () => {
    await using small = await startUrlFront(port, { limits: { connections: 4 } });
    const refused = WEB_SOCKET.replace("\r\n\r\n", "\r\nOrigin: http://else.example\r\n\r\n");
    for (const said of [CONNECT, refused, WEB_SOCKET.replace("box.example", "nobody.example")])
      for (const leave of [
        (client: Socket) => client.destroy(),
        (client: Socket) => client.resetAndDestroy(),
        (client: Socket) => client.end(),
      ]) {
        const client = await waitFor(
          async () => {
            const one = dial(small);
            one.write(said);
            return await new Promise<Socket | null>((resolve) => {
              one.once("data", () => resolve(one)).once("close", () => resolve(null));
            });
          },
          { what: "a connection that others have left" },
        );
        client.write("more");
        leave(client);
      }
  });
});

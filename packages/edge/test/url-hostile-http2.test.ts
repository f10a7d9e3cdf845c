/** Clients that use HTTP/2 to do harm. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect as connectHttp2 } from "node:http2";
import { after, before, describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { type Certificates, createCertificates } from "../src/url/certificates.ts";
import { certificateOf } from "./certificate-of.ts";
import { FLAG, FRAME, fields, frame, openRawHttp2, type RawHttp2 } from "./raw-http2.ts";
import { listening, startUrlFront, type UrlFront } from "./url-front.ts";

const GET = [
  [":method", "GET"],
  [":scheme", "https"],
  [":authority", "box.example"],
] as const;
const WHOLE = FLAG.endStream | FLAG.endHeaders;

describe("a client of HTTP/2 that does harm", () => {
  const scope = new AsyncDisposableStack();
  let certificates: Certificates;
  let guest: Server;
  let guestPort: number;
  let front: UrlFront;
  const seen: string[] = [];
  before(async () => {
    const folder = scope.use(await makeTempDir()).path;
    certificates = createCertificates([await certificateOf(folder, "box.example")]);
    guest = createServer((from, to) => {
      seen.push(`${from.method} ${from.url} ${JSON.stringify(from.headers)}`);
      if (from.url === "/hang") return;
      if (from.url === "/much") {
        const pour = () => {
          while (to.write(Buffer.alloc(64 * 1024)));
        };
        to.on("drain", pour);
        pour();
        return;
      }
      from.resume();
      to.end("served");
    });
    guestPort = await listening(guest);
    front = scope.use(await startUrlFront(guestPort, { certificates }));
  });
  after(async () => {
    await scope.disposeAsync();
    guest.closeAllConnections();
    guest.close();
  });

  async function isServed(): Promise<void> {
    const session = connectHttp2(`https://127.0.0.1:${front.port}`, { rejectUnauthorized: false });
    try {
      const stream = session.request({ ":path": "/", ":authority": "box.example" });
      const [headers] = await once(stream, "response");
      assert.equal(headers[":status"], 200);
    } finally {
      session.destroy();
    }
  }

  /** Until it was refused, or answered. */
  async function reset(client: RawHttp2, stream: number): Promise<boolean> {
    return await waitFor(
      () =>
        client.heard.some(
          ({ type, stream: of }) =>
            ((type === FRAME.reset || type === FRAME.headers) && of === stream) || type === FRAME.goAway,
        ) || client.socket.destroyed,
      { what: "a word" },
    );
  }

  it("puts no line of its own into what the guest gets", async () => {
    seen.splice(0);
    for (const pairs of [
      [...GET, [":path", "/"], ["x", "a\r\nx-evil: 1"]],
      [...GET, [":path", "/ HTTP/1.1\r\nx-evil: 1"]],
      [...GET, [":path", "/"], ["x-evil: 1\r\ny", "a"]],
      [...GET, [":path", "/"], ["transfer-encoding", "chunked"]],
      [...GET, [":path", "/"], ["connection", "x"]],
      [...GET, [":path", "/"], ["X-Upper", "x"]],
      [...GET, [":path", "/"], ["content-length", "5"]],
      [[":method", "GET / HTTP/1.1\r\nx-evil: 1\r\n\r\nGET"], ...GET.slice(1), [":path", "/"]],
      [...GET, [":path", "/a b"]],
      [[":method", "G(T"], ...GET.slice(1), [":path", "/"]],
    ] as const) {
      using client = await openRawHttp2(front.port);
      client.socket.write(frame(FRAME.headers, { flags: WHOLE, stream: 1, payload: fields(...pairs) }));
      await reset(client, 1);
    }
    assert.doesNotMatch(seen.join("\n"), /evil|Upper|transfer-encoding|connection|a b|G\(T/i);
    await isServed();
  });

  it("is closed when it resets what it asks for again and again", async () => {
    using client = await openRawHttp2(front.port);
    const dialled = front.dialled;
    const path = [":path", "/hang"] as const;
    for (let n = 0; n < 20_000 && !client.socket.destroyed; n++) {
      const stream = 2 * n + 1;
      client.socket.write(frame(FRAME.headers, { flags: WHOLE, stream, payload: fields(...GET, path) }));
      const goes = client.socket.write(frame(FRAME.reset, { stream, payload: Buffer.from([0, 0, 0, 8]) }));
      if (!goes) await Promise.race([once(client.socket, "drain"), client.closed]);
    }
    await client.closed;
    assert.ok(front.dialled - dialled < 600, `${front.dialled - dialled}`);
    await isServed();
  });

  for (const [what, flood] of [
    ["pings", frame(FRAME.ping, { payload: Buffer.alloc(8) })],
    ["settings", frame(FRAME.settings, {})],
  ] as const)
    it(`is closed when it sends ${what} and reads no answers`, async () => {
      using client = await openRawHttp2(front.port);
      client.socket.removeAllListeners("data").pause();
      const many = Buffer.concat(Array.from({ length: 1_000 }, () => flood));
      for (let n = 0; n < 20_000 && !client.socket.destroyed; n++)
        if (!client.socket.write(many))
          await Promise.race([once(client.socket, "drain"), once(client.socket, "error")]);
      await client.closed;
      await isServed();
    });

  it("is closed when its head goes on and on", async () => {
    using client = await openRawHttp2(front.port);
    client.socket.write(frame(FRAME.headers, { flags: FLAG.endStream, stream: 1, payload: fields(...GET) }));
    const more = frame(FRAME.continuation, { stream: 1, payload: fields(["x", "y"]) });
    for (let n = 0; n < 100_000 && !client.socket.destroyed; n++)
      if (!client.socket.write(more)) await Promise.race([once(client.socket, "drain"), client.closed]);
    await client.closed;
    await isServed();
  });

  it("has the guest give up what it resets", async () => {
    using client = await openRawHttp2(front.port);
    const connected = once(guest, "connection");
    client.socket.write(frame(FRAME.headers, { flags: WHOLE, stream: 1, payload: fields(...GET, [":path", "/much"]) }));
    const [socket] = await connected;
    const closed = new Promise((resolve) => socket.on("error", () => {}).once("close", resolve));
    await reset(client, 1);
    client.socket.write(frame(FRAME.reset, { stream: 1, payload: Buffer.from([0, 0, 0, 8]) }));
    await closed;
  });

  it("is closed when it does not take what it has asked for, and the guest's connection with it", async () => {
    await using slow = await startUrlFront(guestPort, { certificates, limits: { silentMs: 500 } });
    using client = await openRawHttp2(slow.port);
    const connected = once(guest, "connection");
    client.socket.write(frame(FRAME.headers, { flags: WHOLE, stream: 1, payload: fields(...GET, [":path", "/much"]) }));
    const [socket] = await connected;
    await new Promise((resolve) => socket.on("error", () => {}).once("close", resolve));
    await client.closed;
  });
});

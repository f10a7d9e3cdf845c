/** Many who want more than their share. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server } from "node:http";
import { connect, type Socket } from "node:net";
import { after, before, beforeEach, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { type Certificates, createCertificates } from "../src/url/certificates.ts";
import { certificateOf } from "./certificate-of.ts";
import { listening, say, startUrlFront, type UrlFront } from "./url-front.ts";

const GET = "GET / HTTP/1.1\r\nHost: box.example\r\nConnection: close\r\n\r\n";
const HANG = GET.replace("/", "/hang");

describe("a crowd at the gateway of URLs", () => {
  const sockets: Socket[] = [];
  let guest: Server;
  let port: number;
  let certificates: Certificates;
  /** Requests that the guest has and does not answer. */
  let hanging = 0;
  beforeEach(() => {
    hanging = 0;
  });
  before(async () => {
    await using folder = await makeTempDir();
    certificates = createCertificates([await certificateOf(folder.path, "box.example")]);
    guest = createServer((from, to) => {
      if (from.url === "/") to.end("served");
      else hanging++;
    });
    port = await listening(guest);
  });
  after(() => {
    for (const socket of sockets) socket.destroy();
    guest.closeAllConnections();
    guest.close();
  });

  async function open(to: number, localAddress = "127.0.0.1"): Promise<Socket> {
    const socket = connect({ port: to, host: "127.0.0.1", localAddress }).on("error", () => {});
    sockets.push(socket);
    await once(socket, "connect");
    return socket.resume();
  }
  const isClosed = (socket: Socket) => waitFor(() => socket.destroyed, { what: "it to be closed" });

  /** All leave before the gateway ends. */
  async function atFront(options: Parameters<typeof startUrlFront>[1], test: (front: UrlFront) => Promise<void>) {
    await using front = await startUrlFront(port, options);
    try {
      await test(front);
    } finally {
      for (const socket of sockets.splice(0)) socket.destroy();
    }
  }

  for (const isTls of [false, true])
    it(`has half of the connections if it has one address, ${isTls ? "over TLS" : "without TLS"}`, async () => {
      async function isServed(socket: Socket): Promise<boolean> {
        const talk = isTls ? connectTls({ socket, rejectUnauthorized: false }) : socket;
        talk.on("error", () => {}).write(GET);
        let heard = "";
        talk.on("data", (bytes) => {
          heard += bytes;
        });
        await new Promise((resolve) => talk.once("close", resolve));
        return /served$/.test(heard);
      }
      const options = { certificates: isTls ? certificates : null, limits: { connections: 6 } };
      await atFront(options, async (front) => {
        const held = [await open(front.port), await open(front.port), await open(front.port)];
        await isClosed(await open(front.port));
        assert.ok(await isServed(await open(front.port, "127.0.0.2")));
        for (const socket of held) assert.ok(!socket.destroyed);
        held[0]?.destroy();
        await waitFor(async () => isServed(await open(front.port)), { what: "a place that was left" });
      });
    });

  it("may have all of them if it comes through a proxy that is trusted", () =>
    atFront({ trusted: true, limits: { connections: 4 } }, async (front) => {
      for (let n = 0; n < 3; n++) await open(front.port);
      assert.match(await say(front.port, GET), /served$/);
    }));

  it("takes no place of those who come later when it leaves before it is known where its host leads", async () => {
    const found = Promise.withResolvers<void>();
    const lookUp = async (host: string) => (host === "box.example" ? await found.promise : undefined);
    await atFront({ limits: { connections: 2 }, lookUp }, async (front) => {
      const leaving = await open(front.port);
      leaving.write(GET);
      leaving.destroy();
      const elsewhere = GET.replace("box.example", "127.0.0.1");
      await waitFor(async () => /served$/.test(await say(front.port, elsewhere)), {
        what: "its connection to be over",
      });
      front.notes.splice(0);
      found.resolve();
      await waitFor(() => front.notes[0]?.status === 499, { what: "its end" });
      assert.match(await say(front.port, GET), /served$/);
    });
  });

  it("waits for its turn at a guest that has as many visits as it may, unless it leaves, or that takes too long", () =>
    atFront({ limits: { visitsPerGuest: 2, wakeMs: 2_000 } }, async (front) => {
      const held = [await open(front.port), await open(front.port)];
      for (const socket of held) socket.write(HANG);
      await waitFor(() => hanging === 2, { what: "both to be passed on" });
      const leaving = await open(front.port);
      leaving.write(GET);
      const served = say(front.port, GET);
      leaving.destroy();
      await waitFor(() => front.notes[0]?.status === 499, { what: "the end of who left" });
      held[0]?.destroy();
      assert.match(await served, /served$/);
      (await open(front.port)).write(HANG);
      await waitFor(() => hanging === 3, { what: "the place to be taken again" });
      assert.match(await say(front.port, GET), /^HTTP\/1\.1 503 .*retry-after: \d+.*more is asked of this sandbox/s);
    }));

  it("is told 503 when it asks too much of one guest at a time", () =>
    atFront({ trusted: true, limits: { connections: 6 } }, async (front) => {
      for (let n = 0; n < 3; n++) (await open(front.port)).write(HANG);
      await waitFor(() => front.dialled === 3, { what: "all to be passed on" });
      const refused = await say(front.port, GET);
      assert.match(refused, /^HTTP\/1\.1 503 .*retry-after: \d+.*more is asked of this sandbox/s);
    }));
});

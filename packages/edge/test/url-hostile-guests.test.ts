/** Servers of guests that answer what cannot be passed on, or take no more. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { connect as connectHttp2 } from "node:http2";
import { createServer, type Server, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, before, describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { type CertificateFiles, createCertificates } from "../src/url/certificates.ts";
import { certificateOf } from "./certificate-of.ts";
import { listening, say, startUrlFront, type UrlFront } from "./url-front.ts";

const scope: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of scope.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

/** In front of what is done with each connection. */
async function front(serve: (socket: Socket) => void, options = {}): Promise<UrlFront> {
  const sockets = new Set<Socket>();
  const guest = createServer((socket) => {
    sockets.add(socket.on("error", () => {}));
    serve(socket);
  });
  const port = await listening(guest as unknown as Server & Parameters<typeof listening>[0]);
  scope.push({
    async [Symbol.asyncDispose]() {
      for (const socket of sockets) socket.destroy();
      await once(guest.close(), "close");
    },
  });
  const made = await startUrlFront(port, options);
  scope.push(made);
  return made;
}

const saying = (answer: string) => (socket: Socket) => void socket.once("data", () => socket.end(answer, "latin1"));
const GET = "GET / HTTP/1.1\r\nHost: box.example\r\nConnection: close\r\n\r\n";

describe("a guest's answer that cannot be passed on", () => {
  let files: CertificateFiles;
  before(async () => {
    await using folder = await makeTempDir();
    files = await certificateOf(folder.path, "box.example");
  });

  async function over2({ port }: UrlFront) {
    const session = connectHttp2(`https://127.0.0.1:${port}`, { rejectUnauthorized: false });
    try {
      const stream = session.request({ ":path": "/", ":authority": "box.example" });
      const body = text(stream);
      const [headers] = await once(stream, "response");
      return { headers, body: await body };
    } finally {
      session.destroy();
    }
  }

  for (const [what, answer] of [
    ["no status that there is", "HTTP/1.1 099 Odd\r\nContent-Length: 0\r\n\r\n"],
    ["a status of four digits", "HTTP/1.1 1200 Odd\r\nContent-Length: 0\r\n\r\n"],
    ["a header with other bytes", "HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 0\r\n\r\n"],
    ["a header with bytes of control", "HTTP/1.1 200 OK\r\nX: a\x01b\r\nContent-Length: 0\r\n\r\n"],
    ["a header with a deletion", "HTTP/1.1 200 OK\r\nX: a\x7fb\r\nContent-Length: 0\r\n\r\n"],
    ["hints without end", "HTTP/1.1 103 Early Hints\r\nLink: </a>; rel=preload\r\n\r\n".repeat(1_000)],
    ["a header without a name", "HTTP/1.1 200 OK\r\n: a\r\nContent-Length: 0\r\n\r\n"],
  ] as const) {
    it(`is told of as the guest's fault: ${what}`, async () => {
      assert.match(await say((await front(saying(answer))).port, GET), /(?:^|\r\n\r\n)HTTP\/1\.1 502 /);
      const certificates = createCertificates([files]);
      const { headers } = await over2(await front(saying(answer), { certificates }));
      assert.equal(headers[":status"], 502);
    });
  }

  it("has over HTTP/2 what HTTP/1.1 may say twice", async () => {
    const certificates = createCertificates([files]);
    const twice = "HTTP/1.1 200 OK\r\nContent-Type: a/b\r\nContent-Type: c/d\r\nContent-Length: 2\r\n\r\nok";
    const { headers, body } = await over2(await front(saying(twice), { certificates }));
    assert.deepEqual([headers[":status"], body], [200, "ok"]);
  });

  it("has no reason where that cannot be written", async () => {
    const odd = "HTTP/1.1 200 O\x01K\r\nContent-Length: 0\r\n\r\n";
    assert.match(await say((await front(saying(odd))).port, GET), /^HTTP\/1\.1 200 \r\n/);
  });

  it("has no hints and trailers but those that can be written, over HTTP/1.1 and HTTP/2", async () => {
    const hint = "HTTP/1.1 103 Early Hints\r\nLink: nonsense\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n";
    const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n2\r\nok\r\n";
    const end = "0\r\nContent-Type: a/b\r\nSet-Cookie: a=1\r\nX: z\r\n\r\n";
    const heard = await say((await front(saying(hint + chunked + end))).port, GET);
    assert.match(heard, /^HTTP\/1\.1 200 OK\r\n.*\r\n2\r\nok\r\n0\r\nx: z\r\n\r\n$/s);
    const certificates = createCertificates([files]);
    const { body } = await over2(await front(saying(hint + chunked + end), { certificates }));
    assert.equal(body, "ok");
    const broken = await front(saying(`${chunked}0\r\nX: a\x01b\r\n\r\n`));
    await say(broken.port, GET);
    assert.match(await say(broken.port, GET), /^HTTP\/1\.1 200 OK/); // it is still there
  });
});

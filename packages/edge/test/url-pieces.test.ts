/** Bodies in pieces of one byte, both ways. */
import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { after, before, describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { createCertificates } from "../src/url/certificates.ts";
import { certificateOf } from "./certificate-of.ts";
import { FLAG, FRAME, fields, frame, openRawHttp2 } from "./raw-http2.ts";
import { listening, say, startUrlFront } from "./url-front.ts";

const BODY = Array.from({ length: 5000 }, (_, at) => String.fromCharCode(97 + (at % 23))).join("");
const chunksOf = (body: string) => body.replaceAll(/./g, "1\r\n$&\r\n");

describe("a body in pieces of one byte", () => {
  const scope = new AsyncDisposableStack();
  let guestPort: number;
  let asked: { body: string; pieces: number; trailer: string | undefined };
  const guest = createServer(async (from) => {
    const pieces: Buffer[] = [];
    await once(
      from.on("data", (piece) => pieces.push(piece)),
      "end",
    );
    asked = { body: pieces.join(""), pieces: pieces.length, trailer: from.trailers["x-asked"] };
    from.socket.end(
      `HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n${chunksOf(asked.body)}0\r\nx-answered: yes\r\n\r\n`,
    );
  });
  before(async () => {
    guestPort = await listening(guest);
    scope.defer(async () => void (await once(guest.close(), "close")));
  });
  after(() => scope.disposeAsync());

  it("is passed on whole and in order, in few pieces, over HTTP/1.1", async () => {
    await using front = await startUrlFront(guestPort);
    const head = "POST / HTTP/1.1\r\nHost: box.example\r\nConnection: close\r\nTransfer-Encoding: chunked\r\n\r\n";
    const heard = await say(front.port, `${head}${chunksOf(BODY)}0\r\nx-asked: yes\r\n\r\n`);
    assert.deepEqual({ ...asked, pieces: 0 }, { body: BODY, pieces: 0, trailer: "yes" });
    assert.ok(asked.pieces < 50, `${asked.pieces} pieces`);
    assert.ok(heard.endsWith("\r\n0\r\nx-answered: yes\r\n\r\n"));
    const pieces = [...heard.matchAll(/[0-9a-f]+\r\n([a-w]+)\r\n/g)].map(([, piece]) => piece);
    assert.equal(pieces.join(""), BODY);
    assert.ok(pieces.length < 50, `${pieces.length} pieces`);
  });

  it("is passed on whole and in order, in few pieces, over HTTP/2", async () => {
    await using folder = await makeTempDir();
    const certificates = createCertificates([await certificateOf(folder.path, "box.example")]);
    await using front = await startUrlFront(guestPort, { certificates });
    using raw = await openRawHttp2(front.port);
    const head = fields([":method", "POST"], [":scheme", "https"], [":authority", "box.example"], [":path", "/"]);
    const data = [...BODY].map((byte) => frame(FRAME.data, { stream: 1, payload: Buffer.from(byte) }));
    const end = frame(FRAME.headers, {
      ...{ flags: FLAG.endHeaders | FLAG.endStream, stream: 1 },
      payload: fields(["x-asked", "yes"]),
    });
    const begin = frame(FRAME.headers, { flags: FLAG.endHeaders, stream: 1, payload: head });
    raw.socket.write(Buffer.concat([begin, ...data, end]));
    const answered = () => raw.heard.filter(({ type }) => type === FRAME.data).map(({ payload }) => String(payload));
    await waitFor(() => answered().join("").length === BODY.length, { what: "the whole answer" });
    assert.deepEqual({ ...asked, pieces: 0 }, { body: BODY, pieces: 0, trailer: "yes" });
    assert.ok(asked.pieces < 50, `${asked.pieces} pieces`);
    assert.equal(answered().join(""), BODY);
    assert.ok(answered().length < 50, `${answered().length} pieces`);
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type Server } from "node:http";
import { type ClientHttp2Session, connect as connectHttp2, type IncomingHttpHeaders } from "node:http2";
import { request } from "node:https";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { makeTempDir } from "@mags/test-kit";
import { WebSocket, WebSocketServer } from "ws";
import { type Certificates, createCertificates } from "../src/url/certificates.ts";
import { certificateOf } from "./certificate-of.ts";
import { listening, startUrlFront, type UrlFront } from "./url-front.ts";

describe("the gateway of URLs over TLS", () => {
  const scope = new AsyncDisposableStack();
  let folder: string;
  let certificates: Certificates;
  let guest: Server;
  let front: UrlFront;
  let session: ClientHttp2Session;
  before(async () => {
    folder = scope.use(await makeTempDir()).path;
    certificates = createCertificates([
      await certificateOf(folder, "other.example"),
      await certificateOf(folder, "box.example"),
    ]);
    guest = createServer(async (from, to) => {
      if (from.url === "/cut") {
        to.write("half");
        setTimeout(() => from.socket.destroy(), 50);
        return;
      }
      let body = "";
      for await (const piece of from) body += piece;
      const cookies = ["Set-Cookie", "a=1", "Set-Cookie", "b=2"];
      const isHead = from.method === "HEAD";
      to.writeHead(200, [...cookies, "Connection", "X-Hop", "X-Hop", "1", ...(isHead ? [] : ["Trailer", "X-Sum"])]);
      to.write(JSON.stringify({ method: from.method, url: from.url, headers: from.headers, body }));
      if (!isHead) to.addTrailers({ "X-Sum": `${body.length}` });
      to.end();
    });
    new WebSocketServer({ server: guest }).on("connection", (socket) => socket.send("hello"));
    front = scope.use(await startUrlFront(await listening(guest), { certificates }));
    session = connectHttp2(`https://127.0.0.1:${front.port}`, { rejectUnauthorized: false, servername: "box.example" });
  });
  after(async () => {
    session.destroy();
    await scope.disposeAsync();
    guest.closeAllConnections();
    guest.close();
  });

  async function ask(path: string, headers = {}, body?: string) {
    const stream = session.request(
      { ":path": path, ":authority": "box.example", ...headers },
      { endStream: body === undefined },
    );
    if (body !== undefined) stream.end(body);
    let trailers: IncomingHttpHeaders = {};
    stream.once("trailers", (given) => {
      trailers = given;
    });
    const [answer] = await once(stream, "response");
    let text = "";
    for await (const piece of stream.setEncoding("utf8")) text += piece;
    return { answer, text, trailers };
  }

  it("speaks HTTP/2, and to the guest HTTP/1.1", async () => {
    const { answer, text, trailers } = await ask(
      "/a?b",
      { ":method": "POST", cookie: ["a=1", "b=2"], te: "trailers" },
      "body",
    );
    assert.equal(answer[":status"], 200);
    assert.deepEqual(answer["set-cookie"], ["a=1", "b=2"]);
    assert.deepEqual([answer["x-hop"], answer.connection, trailers["x-sum"]], [undefined, undefined, "4"]);
    const { headers, ...rest } = JSON.parse(text);
    assert.deepEqual(rest, { method: "POST", url: "/a?b", body: "body" });
    assert.deepEqual(
      [headers.host, headers.cookie, headers["transfer-encoding"], headers["x-forwarded-proto"], headers.te],
      ["box.example", "a=1; b=2", "chunked", "https", "trailers"],
    );
  });

  it("answers many at once on one connection, HEAD and errors with it", async () => {
    const all = await Promise.all(Array.from({ length: 200 }, (_, n) => ask(`/${n}`)));
    assert.deepEqual(
      all.map(({ text }) => JSON.parse(text).url),
      all.map((_, n) => `/${n}`),
    );
    const { answer, text } = await ask("/", { ":method": "HEAD" });
    assert.deepEqual([answer[":status"], text], [200, ""]);
    const nowhere = await ask("/", { ":authority": "a.example" });
    assert.deepEqual([nowhere.answer[":status"], JSON.parse(nowhere.text).code], [404, "url_not_found"]);
  });

  it("resets the stream of an answer that breaks off", async () => {
    await assert.rejects(ask("/cut"), /INTERNAL_ERROR/);
  });

  it("speaks HTTP/1.1 with whoever knows nothing newer, and WebSockets", async () => {
    const options = {
      host: "127.0.0.1",
      port: front.port,
      rejectUnauthorized: false,
      headers: { host: "box.example" },
    };
    const [answer] = (await once(request(options).end(), "response")) as [IncomingMessage];
    assert.deepEqual([answer.statusCode, answer.httpVersion], [200, "1.1"], await text(answer));
    const socket = new WebSocket(`wss://127.0.0.1:${front.port}/`, {
      rejectUnauthorized: false,
      headers: { host: "box.example" },
    });
    const [message] = await once(socket, "message");
    assert.equal(message.toString(), "hello");
    socket.terminate();
  });

  it("shows the certificate of the name, and after a change the new one", async () => {
    const shown = async (servername: string) => {
      const socket = connectTls({ host: "127.0.0.1", port: front.port, servername, rejectUnauthorized: false });
      await once(socket, "secureConnect");
      const { subject, serialNumber } = socket.getPeerCertificate();
      socket.destroy();
      return { name: subject.CN, serialNumber };
    };
    const before = await shown("box.example");
    assert.deepEqual([before.name, (await shown("nobody.example")).name], ["box.example", "other.example"]);
    assert.throws(() => certificates.replace([{ certificate: "x", key: "y" }]), /cannot be used/);
    certificates.replace([await certificateOf(folder, "box.example")]);
    assert.notEqual((await shown("box.example")).serialNumber, before.serialNumber);
    assert.equal((await ask("/")).answer[":status"], 200);
  });
});

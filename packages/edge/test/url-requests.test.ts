import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import {
  createServer as createHttp,
  type IncomingMessage,
  type RequestListener,
  request,
  type Server,
} from "node:http";
import { createServer as createTcp, type Server as TcpServer } from "node:net";
import { afterEach, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { listening, say, startUrlFront, type UrlFront } from "./url-front.ts";

const scope: AsyncDisposable[] = [];
afterEach(async () => {
  for (const one of scope.splice(0).reverse()) await one[Symbol.asyncDispose]();
});

async function front(listener: RequestListener, options = {}): Promise<UrlFront> {
  const server = createHttp(listener);
  return inFront(server, options);
}

/** In front of what says it to whoever connects, and closes. */
const saying = (text: string, options = {}) =>
  inFront(
    createTcp((socket) => socket.on("error", () => {}).once("data", () => socket.end(text, "latin1"))),
    options,
  );

async function inFront(server: Server | TcpServer, options = {}): Promise<UrlFront> {
  const port = await listening(server as Server);
  scope.push({
    async [Symbol.asyncDispose]() {
      if ("closeAllConnections" in server) server.closeAllConnections();
      server.close();
    },
  });
  const made = await startUrlFront(port, options);
  scope.push(made);
  return made;
}

async function bodyOf(message: IncomingMessage): Promise<Buffer> {
  const pieces: Buffer[] = [];
  for await (const piece of message) pieces.push(piece);
  return Buffer.concat(pieces);
}

describe("a request that is passed on to a guest", () => {
  it("comes as it was sent, and its answer as it was given", async () => {
    const { port } = await front(async (from, to) => {
      const body = (await bodyOf(from)).toString();
      to.writeHead(418, "Short and Stout", [
        "X-A",
        "1",
        "X-A",
        "2",
        "Set-Cookie",
        "a=1; Domain=x",
        "Content-Type",
        "text/plain",
      ]);
      to.end(`${from.method} ${from.url} ${from.headers.host} ${from.headers["x-forwarded-for"]} ${body}`);
    });
    const heard = await say(
      port,
      "PUT /a//b/../%2e?q=%00&%E9 HTTP/1.1\r\nHost: box.example:81\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbody",
    );
    assert.match(
      heard,
      /^HTTP\/1\.1 418 Short and Stout\r\nX-A: 1\r\nX-A: 2\r\nSet-Cookie: a=1\r\nContent-Type: text\/plain\r\n/,
    );
    assert.match(heard, /PUT \/a\/\/b\/\.\.\/%2e\?q=%00&%E9 box\.example:81 127\.0\.0\.1 body/);
  });

  it("goes over a connection that was used before", async () => {
    const made = await front((_from, to) => void to.end("x"));
    const warnings: Error[] = [];
    const hear = (warning: Error) => void warnings.push(warning);
    process.on("warning", hear);
    try {
      for (let n = 0; n < 20; n++) assert.equal(await (await fetch(`http://127.0.0.1:${made.port}/`)).text(), "x");
    } finally {
      process.off("warning", hear);
    }
    assert.deepEqual([made.dialled, warnings], [1, []]); // Node warns of listeners that add up
  });

  it("is asked once more where the guest closes what rested, as long as it has no body", async () => {
    let connections = 0;
    const server = createTcp((socket) => {
      const first = connections++ === 0;
      socket.on("error", () => {});
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
        socket.once("data", () => (first ? socket.destroy() : socket.end()));
      });
    });
    const made = await inFront(server);
    for (let n = 0; n < 2; n++) assert.equal(await (await fetch(`http://127.0.0.1:${made.port}/`)).text(), "x");
    assert.equal(made.dialled, 2);
  });

  it("goes over another connection when the guest has ended the one that rests", async () => {
    const closed = Promise.withResolvers<void>();
    const server = createTcp((socket) => {
      socket.on("error", () => {});
      socket.once("close", () => closed.resolve());
      socket.once("data", () => {
        socket.write("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\nx");
        setTimeout(() => socket.end(), 50);
      });
    });
    const made = await inFront(server);
    const ask = async () => await (await fetch(`http://127.0.0.1:${made.port}/`, { method: "POST", body: "b" })).text();
    assert.equal(await ask(), "x");
    await closed.promise;
    assert.equal(await ask(), "x");
    assert.equal(made.dialled, 2);
  });

  it("carries trailers, hints and the wait for a word in both directions", async () => {
    const { port } = await inFront(
      createHttp().on("checkContinue", async (from: IncomingMessage, to) => {
        to.writeEarlyHints({ link: "</a.css>; rel=preload" });
        to.writeContinue();
        const body = await bodyOf(from);
        to.writeHead(200, { Trailer: "X-Sum" });
        to.write(body);
        to.addTrailers({ "X-Sum": from.trailers["x-sum"] ?? "none" });
        to.end();
      }),
    );
    const asked = request({
      ...{ port, host: "127.0.0.1", method: "POST" },
      headers: { Expect: "100-continue", "Transfer-Encoding": "chunked", Trailer: "X-Sum" },
    });
    const hinted = once(asked, "information");
    asked.flushHeaders();
    await once(asked, "continue");
    asked.addTrailers({ "X-Sum": "7" });
    asked.end("abc");
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    assert.equal((await bodyOf(answer)).toString(), "abc");
    assert.deepEqual([answer.trailers["x-sum"], (await hinted)[0].statusCode], ["7", 103]);
  });

  it("comes before its body does, and is answered as the guest likes", async () => {
    const { port } = await front((from, to) => {
      to.write("go on: ");
      from.pipe(to);
    });
    const asked = request({ port, host: "127.0.0.1", method: "POST", headers: { "Transfer-Encoding": "chunked" } });
    asked.flushHeaders();
    const [answer] = (await once(asked, "response")) as [IncomingMessage];
    asked.end("late");
    assert.equal((await bodyOf(answer)).toString(), "go on: late");
  });

  it("streams both ways at the pace of who takes it", async () => {
    let taken = 0;
    const { port } = await front(async (from, to) => {
      if (from.method === "POST") {
        from.once("readable", () => {}); // and reads no more
        return;
      }
      to.on("drain", () => pour());
      const pour = () => {
        while (taken < 512 * 1024 * 1024 && to.write(Buffer.alloc(64 * 1024))) taken += 64 * 1024;
        taken += 64 * 1024;
      };
      pour();
    });
    const upload = request({ port, host: "127.0.0.1", method: "POST" }).on("error", () => {});
    let sent = 0;
    while (upload.write(Buffer.alloc(64 * 1024)) || sent < 1024 * 1024) sent += 64 * 1024;
    let still = 0;
    upload.on("drain", () => {
      still = Date.now();
      upload.write(Buffer.alloc(1024 * 1024));
      sent += 1024 * 1024;
    });
    const download = request({ port, host: "127.0.0.1" })
      .on("error", () => {})
      .end();
    const [answer] = (await once(download, "response")) as [IncomingMessage];
    answer.once("readable", () => {}); // and reads no more
    let [before, pause] = [-1, 0];
    await waitFor(
      () => {
        const now = taken + sent;
        pause = now === before ? pause + 1 : 0;
        before = now;
        return pause > 20;
      },
      { what: "both to wait", deadlineMs: 30_000 },
    );
    assert.ok(taken < 64 * 1024 * 1024, `${taken}`);
    assert.ok(sent < 64 * 1024 * 1024, `${sent} ${still}`);
    upload.destroy();
    download.destroy();
  });

  it("carries much, whole", async () => {
    const much = randomBytes(30_000_000);
    const { port } = await front((from, to) => void from.pipe(to));
    const response = await fetch(`http://127.0.0.1:${port}/`, { method: "POST", body: much });
    const digest = (bytes: Uint8Array) => createHash("sha256").update(bytes).digest("hex");
    assert.equal(digest(await response.bytes()), digest(much));
  });

  it("is given up in the guest when its client leaves", async () => {
    const left = Promise.withResolvers<void>();
    const { port } = await front((_from, to) => {
      to.on("close", () => left.resolve());
      to.write("begun");
    });
    const asked = request({ port, host: "127.0.0.1" })
      .on("error", () => {})
      .end();
    await once(asked, "response");
    asked.destroy();
    await left.promise;
  });
});

describe("an answer of a guest that is none", () => {
  const failures: readonly (readonly [what: string, text: string, says: RegExp])[] = [
    ["closes", "", /^HTTP\/1\.1 502 .*closed the connection without an answer/s],
    ["answers garbage", "SSH-2.0-OpenSSH\r\n\r\n", /^HTTP\/1\.1 502 .*what is not HTTP/s],
    [
      "answers with 100 000 headers",
      `HTTP/1.1 200 OK\r\n${"A: b\r\n".repeat(100_000)}\r\n`,
      /more than 64 KiB of headers/,
    ],
    ["closes within its head", "HTTP/1.1 200 OK\r\nContent-Le", /closed the connection without an answer/],
    ["has two lengths", "HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab", /what is not HTTP/],
    ["switches unasked", "HTTP/1.1 101 Switching\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", /^HTTP\/1\.1 502 /],
  ];
  for (const [what, text, says] of failures)
    it(`is told of: it ${what}`, async () => {
      const { port } = await saying(text);
      assert.match(await say(port, "GET / HTTP/1.1\r\nHost: box.example\r\nConnection: close\r\n\r\n"), says);
    });

  it("is told of: it says nothing", async () => {
    const { port } = await front(() => {}, { limits: { answerMs: 200 } });
    const heard = await say(port, "GET / HTTP/1.1\r\nHost: box.example\r\nConnection: close\r\n\r\n");
    assert.match(heard, /^HTTP\/1\.1 504 .*has not answered for 0\.2 s/s);
  });

  it("breaks off at the client, too, where it breaks off", async () => {
    const { port } = await saying("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf");
    await assert.rejects(async () => (await fetch(`http://127.0.0.1:${port}/`)).text());
  });
});

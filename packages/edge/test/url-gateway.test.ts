import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { connect } from "node:net";
import { after, before, describe, it } from "node:test";
import { AppError } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import { listening, say, startUrlFront, type UrlFront } from "./url-front.ts";

const close = "Connection: close\r\n\r\n";

describe("the gateway of URLs", () => {
  let guest: Server;
  let front: UrlFront;
  before(async () => {
    guest = createServer((from, to) => {
      from.resume();
      to.setHeader("content-type", "application/json");
      to.end(JSON.stringify({ url: from.url, headers: from.headers }));
    });
    front = await startUrlFront(await listening(guest));
  });
  after(async () => {
    await front[Symbol.asyncDispose]();
    guest.closeAllConnections();
    guest.close();
  });

  it("says JSON to programs and a page to people where a host leads nowhere", async () => {
    const program = await say(front.port, `GET / HTTP/1.1\r\nHost: a.example\r\n${close}`);
    assert.match(
      program,
      /^HTTP\/1\.1 404 .*\{"error":"no sandbox is called <a.example>","code":"url_not_found"\}\n$/s,
    );
    const person = await say(front.port, `GET / HTTP/1.1\r\nHost: a.example\r\nAccept: text/html,*/*\r\n${close}`);
    assert.match(
      person,
      /^HTTP\/1\.1 404 .*text\/html.*<h1>There is nothing here<\/h1>\n<p>no sandbox is called &#60;a.example&#62;/s,
    );
  });

  it("refuses what does not say whom it is for, or says it twice", async () => {
    for (const head of [
      "GET / HTTP/1.1\r\n",
      "GET / HTTP/1.1\r\nHost: box.example\r\nHost: private.example\r\n",
      "GET http://private.example/ HTTP/1.1\r\nHost: box.example\r\n",
      "GET / HTTP/1.0\r\n",
      "OPTIONS box.example HTTP/1.1\r\nHost: box.example\r\n",
    ])
      assert.match(await say(front.port, head + close), /^HTTP\/1\.1 400 /, head);
    assert.match(
      await say(front.port, `CONNECT box.example:80 HTTP/1.1\r\nHost: box.example\r\n\r\n`),
      /^HTTP\/1\.1 405 /,
    );
    const absolute = await say(front.port, `GET http://box.example/a?b HTTP/1.1\r\nHost: box.example\r\n${close}`);
    assert.match(absolute, /"url":"\/a\?b"/);
  });

  it("takes no request of which two readers could make two things", async () => {
    const smuggling = [
      "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
      "Content-Length: 4\r\nContent-Length: 5\r\n\r\nabcde",
      "Content-Length: +4\r\n\r\nabcd",
      "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n",
      "Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n",
      "Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n",
      "Transfer-Encoding: chunked\r\n\r\n4\nabcd\r\n0\r\n\r\n",
      "Transfer-Encoding: chunked\r\n\r\n-1\r\n\r\n",
      "X: a\nb: c\r\n\r\n",
      " folded: x\r\n\r\n",
      "X\0: y\r\n\r\n",
      "X: y\nContent-Length: 4\n\nabcd",
      "Transfer-Encoding: chunked\r\n\r\n4;a\nb\r\nabcd\r\n0\r\n\r\n",
    ];
    const before = front.dialled;
    front.notes.splice(0);
    for (const rest of smuggling) {
      const heard = await say(front.port, `POST / HTTP/1.1\r\nHost: box.example\r\n${rest}`);
      assert.match(heard, /^HTTP\/1\.1 400 /, rest);
      assert.doesNotMatch(heard, /HTTP\/1\.1 200/, rest);
    }
    assert.ok(front.dialled - before <= smuggling.length);
    // Of four the head can be read.
    await waitFor(() => front.notes.length >= 4, { what: "what was noted" });
    assert.deepEqual(
      front.notes.map(({ status }) => status),
      [400, 400, 400, 400],
    );
  });

  it("passes on no other protocol than WebSocket", async () => {
    const h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n";
    const heard = await say(front.port, `GET / HTTP/1.1\r\nHost: box.example\r\n${h2c}${close}`);
    assert.match(heard, /^HTTP\/1\.1 200 /);
    assert.doesNotMatch(heard, /h2c|http2-settings|upgrade/i);
    // The guest takes no WebSocket: what follows is nobody's, and no second request.
    const socket = "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n";
    const twice = await say(
      front.port,
      `GET / HTTP/1.1\r\nHost: box.example\r\n${socket}`,
      `GET /hidden HTTP/1.1\r\nHost: private.example\r\n\r\n`,
    );
    assert.match(twice, /^HTTP\/1\.1 200 /);
    assert.doesNotMatch(twice, /hidden/);
  });

  it("gives up who sends a head too large, too slowly, or not at all", async () => {
    const large = `GET / HTTP/1.1\r\nHost: box.example\r\nX: ${"a".repeat(40_000)}\r\n\r\n`;
    assert.match(await say(front.port, large), /^HTTP\/1\.1 431 /);
    await using slow = await startUrlFront(1, { limits: { headMs: 200, silentMs: 400 } });
    const socket = connect(slow.port, "127.0.0.1")
      .on("error", () => {})
      .resume();
    socket.write("GET / HTTP/1.1\r\n");
    const drip = setInterval(() => socket.write("X: y\r\n"), 50);
    await once(socket, "close");
    clearInterval(drip);
    await once(
      connect(slow.port, "127.0.0.1")
        .on("error", () => {})
        .resume(),
      "close",
    );
  });

  it("lets nobody into a private one but who shows what opens it, and keeps that from the guest", async () => {
    const ask = (path: string, headers = "") =>
      say(front.port, `GET ${path} HTTP/1.1\r\nHost: private.example\r\n${headers}${close}`);
    assert.match(await ask("/"), /^HTTP\/1\.1 401 .*"code":"unauthenticated"/s);
    assert.match(await ask("/?mags-access=wrong"), /^HTTP\/1\.1 401 /);
    const opened = await ask("/a?x=1&mags-access=open&y=2");
    assert.match(
      opened,
      /^HTTP\/1\.1 303 See Other\r\n.*location: http:\/\/private\.example\/a\?x=1&y=2\r\nset-cookie: mags-access=open; Path=\/; HttpOnly; SameSite=Lax\r\n/s,
    );
    for (const headers of ["Cookie: a=1; mags-access=open\r\n", "Mags-Access: open\r\nCookie: a=1\r\n"]) {
      const heard = await ask("/b", headers);
      assert.match(heard, /^HTTP\/1\.1 200 .*"cookie":"a=1"/s);
      assert.doesNotMatch(heard, /open/);
    }
  });

  it("leads nobody elsewhere by a link, and sets no cookie but what opens the page", async () => {
    const ask = (host: string, path: string) => say(front.port, `GET ${path} HTTP/1.1\r\nHost: ${host}\r\n${close}`);
    const opened = await ask("private.example", "//evil.example/?mags-access=open");
    assert.match(opened, /^HTTP\/1\.1 303 .*location: http:\/\/private\.example\/\/evil\.example\/\r\n/s);
    const junk = "x;Domain=example;Max-Age=99999";
    assert.match(await ask("private.example", `/?mags-access=${junk}`), /^HTTP\/1\.1 401 /);
    for (const path of [`/?a=1&mags-access=${junk}`, "//evil.example/?a=1&mags-access=open"]) {
      const ofPublic = await ask("box.example", path);
      assert.match(ofPublic, /^HTTP\/1\.1 200 .*\?a=1"/s);
      assert.doesNotMatch(ofPublic, /set-cookie|mags-access/i);
    }
  });

  it("takes a cookie for a private page from pages of that host only, where more than a look is asked for", async () => {
    const ask = (method: string, headers: string) =>
      say(front.port, `${method} /a HTTP/1.1\r\nHost: private.example:81\r\n${headers}Content-Length: 0\r\n${close}`);
    const cookie = "Cookie: mags-access=open\r\n";
    for (const origin of ["http://evil.example", "http://private.example", "null"])
      assert.match(
        await ask("POST", `${cookie}Origin: ${origin}\r\n`),
        /^HTTP\/1\.1 403 .*"code":"forbidden"/s,
        origin,
      );
    const webSocket = `${cookie}Origin: http://evil.example\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n`;
    const upgraded = await say(front.port, `GET /a HTTP/1.1\r\nHost: private.example:81\r\n${webSocket}\r\n`);
    assert.match(upgraded, /^HTTP\/1\.1 403 /);
    for (const headers of [
      `${cookie}Origin: http://private.example:81\r\n`,
      cookie,
      "Mags-Access: open\r\nOrigin: http://evil.example\r\n",
    ])
      assert.match(await ask("POST", headers), /^HTTP\/1\.1 200 /, headers);
    assert.match(await ask("GET", `${cookie}Origin: http://evil.example\r\n`), /^HTTP\/1\.1 200 /);
  });

  it("notes each request, with what passed", async () => {
    front.notes.splice(0);
    const body = "a".repeat(1_000);
    await say(
      front.port,
      `POST /p?secret=1 HTTP/1.1\r\nHost: box.example\r\nContent-Length: 1000\r\nConnection: close\r\n\r\n${body}`,
    );
    const [note] = await waitFor(() => (front.notes.length > 0 ? front.notes : null), { what: "a note" });
    const { host, method, path, status, bytesIn, clientAddress } = note ?? assert.fail();
    assert.deepEqual(
      [host, method, path, status, bytesIn, clientAddress],
      ["box.example", "POST", "/p", 200, 1_000, "127.0.0.1"],
    );
    assert.ok((note?.bytesOut ?? 0) > 50);
  });

  it("notes host and path apart, however a client says them", async () => {
    front.notes.splice(0);
    for (const asked of ["OPTIONS *", "OPTIONS http://box.example", "GET http://BOX.example/a?b", "GET /a?b"])
      await say(front.port, `${asked} HTTP/1.1\r\nHost: Box.Example\r\n${close}`);
    await waitFor(() => front.notes.length === 4, { what: "all of them" });
    assert.deepEqual(
      front.notes.map(({ method, host, path }) => `${method} ${host} ${path}`),
      ["OPTIONS box.example *", "OPTIONS box.example *", "GET box.example /a", "GET box.example /a"],
    );
  });
});

describe("a guest that does not listen", () => {
  const ask = (front: UrlFront) => say(front.port, `GET / HTTP/1.1\r\nHost: box.example\r\n${close}`);
  async function freePort(): Promise<number> {
    const server = createServer();
    const port = await listening(server);
    await once(server.close(), "close");
    return port;
  }

  it("is waited for when it has just woken, by all who ask", async () => {
    const port = await freePort();
    await using front = await startUrlFront(port);
    front.route.awakeMs = null;
    const asked = Array.from({ length: 20 }, () => ask(front));
    await waitFor(() => front.dialled >= 40, { what: "further tries" });
    const guest = createServer((_from, to) => void to.end("up")).listen(port, "127.0.0.1");
    for (const heard of await Promise.all(asked)) assert.match(heard, /^HTTP\/1\.1 200 .*up/s);
    guest.closeAllConnections();
    await once(guest.close(), "close");
  });

  it("is told of at once when it has been awake for long, and after a while when it has not", async () => {
    await using front = await startUrlFront(await freePort(), { limits: { wakeMs: 300 } });
    const none = /^HTTP\/1\.1 502 .*"nothing listens on port \d+ in the sandbox","code":"connection_refused"/s;
    assert.match(await ask(front), none);
    assert.equal(front.dialled, 1);
    front.route.awakeMs = null;
    assert.match(await ask(front), none);
    assert.ok(front.dialled > 3);
  });

  it("is told of when it has ended, without what it is called inside", async () => {
    const awaken = async () => Promise.reject(new AppError("job_not_running", "1234-5678 is not running"));
    await using front = await startUrlFront(1, { awaken });
    assert.match(await ask(front), /^HTTP\/1\.1 409 .*"the sandbox has ended: its owner has to start it"/s);
  });

  it("may take longer for an answer than it may for waking", async ({ mock: { timers } }) => {
    const asked = Promise.withResolvers<ServerResponse>();
    const guest = createServer((_from, to) => asked.resolve(to));
    await using front = await startUrlFront(await listening(guest), { limits: { wakeMs: 10_000, answerMs: 30_000 } });
    timers.enable({ apis: ["setTimeout"] });
    const heard = ask(front);
    const to = await asked.promise;
    timers.tick(20_000);
    timers.reset();
    to.end("begun");
    assert.match(await heard, /^HTTP\/1\.1 200 .*begun/s);
    await once(guest.close(), "close");
  });

  it("is given up when it does not wake", async () => {
    const awaken = async (signal: AbortSignal) => void (await once(signal, "abort"));
    await using front = await startUrlFront(1, { limits: { wakeMs: 200 }, awaken });
    assert.match(await ask(front), /^HTTP\/1\.1 504 .*retry-after: 5.*does not wake/s);
  });
});

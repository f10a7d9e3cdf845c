import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { after, before, describe, it } from "node:test";
import { type AppError, silentLogger } from "@mags/core";
import type { UrlAccess } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { type EdgeServer, startEdgeServer, startUrlGateway } from "../src/index.ts";
import { type Apart, connectApart, createWhole, newSecret, soon } from "./apart.ts";
import { LIMITS, say } from "./url-front.ts";

const refusedAs = (code: string) => (error: AppError) => error.code === code;

describe("URLs at an edge apart from the server", () => {
  const whole = createWhole();
  const secret = newSecret();
  let apart: Apart;
  let again: EdgeServer | undefined;
  before(async () => {
    apart = await connectApart(whole.upstream, { secret });
  });
  after(async () => {
    await apart[Symbol.asyncDispose]();
    await again?.[Symbol.asyncDispose]();
  });
  const signals = () => ({ signal: soon() });

  it("lead where the server says, or it is told why nowhere", async () => {
    const { urls } = apart;
    assert.deepEqual(await urls.route({ host: "port-81.example", pass: null }, signals()), {
      ...{ accountId: whole.accountId, guest: whole.guest, port: 81, isPrivate: false, awakeMs: 5 },
    });
    assert.equal((await urls.route({ host: "private.example", pass: "open" }, signals())).awakeMs, null);
    await assert.rejects(urls.route({ host: "private.example", pass: null }, signals()), refusedAs("unauthenticated"));
    await assert.rejects(
      urls.route({ host: "else.example", pass: null }, signals()),
      /nothing is called else\.example/,
    );
    await assert.rejects(urls.route({ host: "x".repeat(300), pass: null }, signals()), refusedAs("url_not_found"));
    const pass = "x".repeat(10_000);
    await assert.rejects(urls.route({ host: "private.example", pass }, signals()), refusedAs("unauthenticated"));
  });

  it("have certificates, and answers for who checks whose a host is", async () => {
    const { urls } = apart;
    const found = await urls.certificate("own.example", signals());
    assert.deepEqual([found?.certificate, found?.key.reveal()], ["a certificate", "its key"]);
    assert.equal(await urls.certificate("else.example", signals()), null);
    assert.equal(await urls.challenge({ host: "own.example", token: "t" }, signals()), "t.thumbprint");
    assert.equal(await urls.challenge({ host: "else.example", token: "t" }, signals()), null);
    assert.equal(await urls.challenge({ host: "own.example", token: "t".repeat(600) }, signals()), null);
  });

  it("let the edge connect to the port they lead to, and do nothing else in the guest", async () => {
    await using other = await connectApart(whole.upstream);
    const to = (port: number) => other.visits.connect(whole.guest, { host: "127.0.0.1", port }, signals());
    await assert.rejects(to(81), refusedAs("unavailable"));
    await other.urls.route({ host: "port-81.example", pass: null }, signals());
    await assert.rejects(to(81), refusedAs("connection_refused"));
    for (const attempt of [
      () => to(82),
      () => other.node.connect(whole.guest, { host: "127.0.0.1", port: 81 }, signals()),
      () => other.node.listen(whole.guest, { host: "127.0.0.1", port: 81 }, signals()),
      () => other.node.startExec(whole.start("true")),
    ])
      await assert.rejects(attempt, refusedAs("unavailable"));
    assert.equal(whole.execs.started.length, 0);
  });

  it("tell the server of each request, many at a time, and with texts as long as they may be", async () => {
    const access = (n: number): UrlAccess => ({
      ...{ atMs: n, host: "port-81.example", guest: whole.guest, clientAddress: "192.0.2.1", method: "GET" },
      ...{ path: "/", status: 200, durationMs: 1.5, bytesIn: 0, bytesOut: 7 },
    });
    for (let n = 0; n < 600; n++) apart.urls.note(access(n));
    apart.urls.note({ ...access(600), method: "M".repeat(100), path: "/".repeat(600), clientAddress: "a".repeat(100) });
    await waitFor(() => whole.accesses.length === 601, { what: "all of them" });
    assert.deepEqual(whole.accesses[599], access(599));
    const { method, path, clientAddress } = whole.accesses[600] ?? assert.fail();
    assert.deepEqual([method.length, path.length, clientAddress.length], [64, 512, 64]);
  });

  it("are refused in words where the server serves none, and SSH where it serves none of that", async () => {
    await using without = await connectApart({ ...whole.upstream, directory: null, urls: null });
    const asked = { host: "port-81.example", pass: null };
    await assert.rejects(without.urls.route(asked, signals()), /this server serves no URLs/);
    await assert.rejects(without.directory.hostKey(), /this server serves no SSH/);
  });

  it("are served through the connection, and again after it was lost", async () => {
    await using guest = createServer((_from, to) => to.end("from the guest")).listen(0, "127.0.0.1");
    await once(guest, "listening");
    const { port } = guest.address() as AddressInfo;
    await using gateway = await startUrlGateway(
      { directory: apart.urls, node: apart.visits, log: silentLogger },
      { host: "127.0.0.1", port: 0, certificates: null, plain: null, isTrusted: () => false, limits: LIMITS },
    );
    const ask = () => say(gateway.port, `GET / HTTP/1.1\r\nHost: port-${port}.example\r\nConnection: close\r\n\r\n`);
    assert.match(await ask(), /^HTTP\/1\.1 200 [\s\S]*from the guest$/);
    const before = whole.accesses.length;
    await apart.server[Symbol.asyncDispose]();
    await waitFor(() => apart.problem !== null, { what: "the loss" });
    const refusal = await waitFor(async () => /^HTTP\/1\.1 503.*/s.exec(await ask())?.[0], { what: "a refusal" });
    assert.match(refusal, /"error":"the server cannot be reached now: try again in a moment"/);
    again = await startEdgeServer(
      { upstream: whole.upstream, log: silentLogger },
      { host: "127.0.0.1", port: apart.server.port, secret },
    );
    await waitFor(async () => /^HTTP\/1\.1 200/.test(await ask()), { what: "an answer" });
    await waitFor(() => whole.accesses.length >= before + 1, { what: "what was noted" });
  });
});

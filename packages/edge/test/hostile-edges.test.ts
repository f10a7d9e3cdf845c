import assert from "node:assert/strict";
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { type ClientHttp2Session, connect as connectHttp2, constants } from "node:http2";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { connect as connectTls } from "node:tls";
import { type AppError, silentLogger } from "@mags/core";
import { newJobId } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { connectUpstream } from "../src/index.ts";
import { type Apart, connectApart, createWhole, newSecret, soon } from "./apart.ts";

describe("who connects as an edge and is none, or means no good", () => {
  const whole = createWhole();
  const secret = newSecret();
  const sockets = new Set<Socket>();
  let apart: Apart;
  let session: ClientHttp2Session;
  before(async () => {
    apart = await connectApart(whole.upstream, { secret });
    const socket = connectTls({
      ...{ host: "127.0.0.1", port: apart.server.port, ciphers: "ECDHE-PSK-CHACHA20-POLY1305", maxVersion: "TLSv1.2" },
      ...{ ALPNProtocols: ["h2"], checkServerIdentity: () => undefined },
      pskCallback: () => ({ psk: Buffer.from(secret.reveal(), "hex"), identity: "mags-edge-1" }),
    });
    session = connectHttp2("https://any", { createConnection: () => socket });
    await once(session, "remoteSettings");
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    session.destroy();
    await apart[Symbol.asyncDispose]();
  });

  const othersAreServed = async () => assert.equal(await whole.signIn(apart), whole.guest);
  const closed = (socket: Socket) => new Promise((resolve) => socket.once("close", resolve));

  function dial(): Socket {
    const socket = connect(apart.server.port, "127.0.0.1");
    sockets.add(socket);
    return socket.on("error", () => {}).resume();
  }

  /** The status and text of an answer; null: there was none. */
  async function call(path: string, body: Buffer): Promise<{ status: unknown; text: string } | null> {
    const stream = session.request({ ":method": "POST", ":path": path }).on("error", () => {});
    let status: unknown;
    let text = "";
    stream.on("response", (headers) => {
      status = headers[":status"];
    });
    stream.on("data", (bytes: Buffer) => {
      text += bytes.toString("latin1");
    });
    stream.end(body);
    await new Promise((resolve) => stream.once("close", resolve));
    return status === undefined ? null : { status, text };
  }

  function head(json: unknown): Buffer {
    const text = Buffer.from(typeof json === "string" ? json : JSON.stringify(json));
    const header = Buffer.alloc(5);
    header.writeUInt32BE(text.length, 1);
    return Buffer.concat([header, text]);
  }

  it("gets nowhere without the secret", async () => {
    const options = { host: "127.0.0.1", port: apart.server.port, secret: newSecret() };
    await using stranger = connectUpstream({ log: silentLogger }, options);
    await waitFor(() => /another secret/.test(stranger.problem ?? ""), { what: "the refusal" });
    await assert.rejects(stranger.directory.hostKey(), (error: AppError) => error.code === "unavailable");
    const certified = connectTls({ host: "127.0.0.1", port: apart.server.port, rejectUnauthorized: false });
    sockets.add(certified.on("error", () => {}));
    await closed(certified);
    for (const bytes of [
      randomBytes(5_000),
      Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
      Buffer.from("GET / HTTP/1.1\r\n\r\n"),
    ]) {
      const socket = dial();
      socket.write(bytes);
      await closed(socket);
    }
    assert.equal(apart.server.edges().length, 2);
    await othersAreServed();
  });

  it("keeps nobody out by connecting and saying nothing", async () => {
    const elsewhere = connect({ port: apart.server.port, host: "127.0.0.1", localAddress: "127.0.0.2" });
    sockets.add(elsewhere.on("error", () => {}).resume());
    await once(elsewhere, "connect");
    const silent = Array.from({ length: 100 }, dial);
    await waitFor(() => silent.filter(({ destroyed }) => destroyed).length >= 36, { what: "the end of the oldest" });
    await using late = connectUpstream({ log: silentLogger }, { host: "127.0.0.1", port: apart.server.port, secret });
    await late.connected({ signal: soon() });
    assert.ok(!elsewhere.closed, "who comes from elsewhere has lost his place");
  });

  it("is told when it speaks another version", async () => {
    const answer = await call("/edge/2/hello", head({}));
    assert.equal(answer?.status, 400);
    assert.match(answer.text, /the server speaks version 1 of the edge protocol, the edge version 2/);
  });

  it("is refused what is no call", async () => {
    const guest = { guest: whole.guest, at: { host: "127.0.0.1", port: 22 } };
    const statuses = [
      await call("/edge/1/constructor", head({})),
      await call("/edge/1/find", head("{")),
      await call("/edge/1/find", head({ login: "box" })),
      await call("/edge/1/find", head({ ...whole.attempt, login: "x".repeat(2_000) })),
      await call("/edge/1/find", Buffer.from([0, 255, 255, 255, 255, 1])),
      await call("/edge/1/find", head({}).subarray(0, 3)),
      await call("/edge/1/accept", head({ listener: newJobId(), connection: 1 })),
      await call("/edge/1/connect", head({ ...guest, at: { path: 1 } })),
    ].map((answer) => answer?.status);
    assert.deepEqual(statuses, [404, 400, 400, 400, 503, 503, 500, 400]);
    await othersAreServed();
  });

  it("hears of the ends of guests by one call at a time", async () => {
    const stream = session.request({ ":method": "POST", ":path": "/edge/1/ends" });
    stream.on("error", () => {}).write(head({}));
    await once(stream, "response");
    assert.equal((await call("/edge/1/ends", head({})))?.status, 429);
    stream.close(constants.NGHTTP2_CANCEL);
    await once(stream, "close");
    assert.equal((await call("/edge/1/ends", head({})))?.status, 200);
  });

  it("writes no note that names no account, or has data without end", async () => {
    const note = (fields: object) =>
      call("/edge/1/note", head([{ what: "ended", login: "box", clientAddress: "", user: null, data: {}, ...fields }]));
    const user = { accountId: "a-1", keyName: "own", fingerprint: "", target: "box", jobId: null, refusal: null };
    const many = Object.fromEntries(Array.from({ length: 17 }, (_, index) => [`fact_${index}`, index]));
    const statuses = [
      await note({ user }),
      await note({ data: many }),
      await note({ data: { ["x".repeat(65)]: 1 } }),
      await note({ user: { ...user, accountId: whole.accountId } }),
    ].map((answer) => answer?.status);
    assert.deepEqual(statuses, [400, 400, 400, 200]);
    assert.equal(whole.notes.length, 1);
  });

  it("tells of no request that has no guest, or another than its host leads to, or of too many at once", async () => {
    const access = {
      ...{ atMs: 1, host: "private.example", guest: whole.guest, clientAddress: "", method: "GET", path: "/" },
      ...{ status: 200, durationMs: 1, bytesIn: 0, bytesOut: 0 },
    };
    const statuses = [
      await call("/edge/1/access", head([{ ...access, guest: "a" }])),
      await call("/edge/1/access", head([{ ...access, bytesIn: -1 }])),
      await call("/edge/1/access", head(Array.from({ length: 257 }, () => access))),
      await call("/edge/1/route", head({ host: "x".repeat(300), pass: null })),
      await call("/edge/1/access", head([access])),
    ].map((answer) => answer?.status);
    assert.deepEqual(statuses, [400, 400, 400, 400, 200]);
    assert.equal(whole.accesses.length, 1);
    assert.equal((await call("/edge/1/access", head([{ ...access, host: "else.example" }])))?.status, 200);
    assert.equal((await call("/edge/1/access", head([{ ...access, guest: newJobId() }])))?.status, 200);
    assert.equal(whole.accesses.length, 1);
  });

  it("gets at no guest but by somebody who may sign in", async () => {
    const at = { host: "127.0.0.1", port: 22 };
    const dialled = await call("/edge/1/connect", head({ guest: whole.guest, at }));
    const started = await call("/edge/1/exec", head({ ...whole.start("true"), endsWithClient: undefined }));
    assert.deepEqual([dialled?.status, started?.status], [503, 503]);
    assert.equal(whole.execs.started.length, 0);
    const { key, ...attempt } = whole.attempt;
    const wire = { ...attempt, key: { ...key, blob: key.blob.toString("base64") } };
    const user = { keyName: "own", fingerprint: "SHA256:x", target: "box", jobId: null, refusal: null };
    const ticket = Buffer.alloc(32).toString("base64");
    const asked = (login: string, accountId: string) =>
      call("/edge/1/guest", head({ attempt: { ...wire, login }, found: { user: { ...user, accountId }, ticket } }));
    assert.equal((await asked("who", whole.accountId))?.status, 403);
    assert.equal((await asked("box", randomUUID()))?.status, 403);
    assert.equal((await asked("box", whole.accountId))?.status, 200);
    assert.equal((await call("/edge/1/exec", head({ ...whole.start("true"), accountId: randomUUID() })))?.status, 503);
    assert.equal(whole.execs.started.length, 0);
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type ServerHttp2Stream } from "node:http2";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { connectUpstream, startEdgeServer } from "../src/index.ts";
import { createWhole, newSecret, soon } from "./apart.ts";
import { startLossyProxy } from "./lossy-proxy.ts";

const PREFACE = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n");
const SETTINGS = Buffer.from([0, 0, 0, 4, 0, 0, 0, 0, 0]);
const GOAWAY = Buffer.from([0, 0, 8, 7, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]);
const { upstream } = createWhole();
const log = silentLogger;

describe("the end of a connection between edge and server", () => {
  it("comes when an edge says goodbye and then nothing", { timeout: 30_000 }, async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "server.sock");
    await using server = await startEdgeServer({ upstream, log }, { path, pinging: { pingMs: 50 } });
    const socket = connect({ path, allowHalfOpen: true }).resume();
    const closed = new Promise((resolve) => socket.on("error", () => {}).once("close", resolve));
    socket.write(Buffer.concat([PREFACE, SETTINGS, GOAWAY]));
    await waitFor(() => server.edges().length === 1, { what: "the edge", intervalMs: 1 });
    await waitFor(() => server.edges().length === 0, { what: "its end" });
    socket.destroy();
    await closed;
  });

  it("comes when the server ends and its edge cannot be heard", { timeout: 30_000 }, async () => {
    const at = { host: "127.0.0.1", secret: newSecret() };
    const server = await startEdgeServer({ upstream, log }, { ...at, port: 0 });
    await using proxy = await startLossyProxy(server.port);
    await using edge = connectUpstream({ log }, { ...at, port: proxy.port });
    await edge.connected({ signal: soon() });
    proxy.silence();
    const startedMs = performance.now();
    await server[Symbol.asyncDispose]();
    assert.ok(performance.now() - startedMs < 4_500, "it waited for a ping");
  });

  it("comes when an edge ends before its server has greeted it", { timeout: 30_000 }, async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "server.sock");
    const sockets = new Set<Socket>();
    const server = createServer().on("connection", (socket) => sockets.add(socket));
    await once(server.listen(path), "listening");
    const greeted = once(server, "stream") as Promise<[ServerHttp2Stream]>;
    const edge = connectUpstream({ log }, { path });
    const [stream] = await greeted;
    stream.on("error", () => {});
    const ended = edge[Symbol.asyncDispose]();
    stream.respond({ ":status": 200 });
    stream.end(Buffer.from([0, 0, 0, 0, 2, ...Buffer.from("{}")]));
    await ended;
    const closed = once(server, "close");
    server.close();
    for (const socket of sockets) socket.destroy();
    await closed;
  });
});

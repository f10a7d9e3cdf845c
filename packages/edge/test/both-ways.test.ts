import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { connectUpstream, type EdgePlace, startEdgeServer } from "../src/index.ts";
import { createWhole, newSecret, soon } from "./apart.ts";

const CONNECTIONS = 64;
const BYTES = 1_500_000;

/** What comes back of many connections that all say a lot at once, and take what is answered meanwhile. */
async function echoes(place: EdgePlace): Promise<readonly number[]> {
  const whole = createWhole();
  await using scope = new AsyncDisposableStack();
  const echo = scope.use(
    createServer({ allowHalfOpen: true }, (socket) => socket.on("error", () => {}).pipe(socket)).listen(0, "127.0.0.1"),
  );
  await once(echo, "listening");
  const { port } = echo.address() as { port: number };
  const deps = { upstream: whole.upstream, log: silentLogger };
  const server = scope.use(await startEdgeServer(deps, place));
  const edge = scope.use(connectUpstream(deps, "path" in place ? place : { ...place, port: server.port }));
  await edge.connected({ signal: soon() });
  await whole.signIn(edge);
  const talk = async () => {
    const socket = await edge.node.connect(whole.guest, { host: "127.0.0.1", port }, { signal: soon() });
    const said = socket.write(Buffer.alloc(BYTES)).then(() => socket.end());
    let heard = 0;
    for (let bytes = await socket.read(); bytes; bytes = await socket.read()) heard += bytes.length;
    await said;
    socket.close();
    return heard;
  };
  return await Promise.all(Array.from({ length: CONNECTIONS }, talk));
}

describe("much in both directions at once", () => {
  const all = Array.from({ length: CONNECTIONS }, () => BYTES);

  it("passes between machines", async () => {
    assert.deepEqual(await echoes({ host: "127.0.0.1", port: 0, secret: newSecret() }), all);
  });

  it("passes between a server and its own gateway", async () => {
    await using temp = await makeTempDir();
    assert.deepEqual(await echoes({ path: join(temp.path, "server.sock") }), all);
  });
});

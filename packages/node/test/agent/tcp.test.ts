import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer, type Server, type Socket } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import type { AgentConnection } from "../../src/agent/index.ts";
import { type AgentVariant, type HostAgent, startHostAgent } from "./host-agent.ts";

for (const variant of ["agent", "agent-asan"] satisfies AgentVariant[]) {
  describe(`connections through ${variant}`, () => {
    let agent: HostAgent;
    let connection: AgentConnection;
    let server: Server | undefined;
    const sockets = new Set<Socket>();

    before(async () => {
      agent = await startHostAgent(variant);
      connection = await agent.connect();
    });
    afterEach(async () => {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
      const closing = server;
      server = undefined;
      if (closing) await new Promise((done) => closing.close(done));
    });
    after(async () => {
      assert.deepEqual(agent.violations, []);
      await agent[Symbol.asyncDispose]();
    });

    /** A server in the "guest". @returns its port */
    async function listen(serve: (socket: Socket) => void, host = "127.0.0.1"): Promise<number> {
      server = createServer({ allowHalfOpen: true }, (socket) => {
        sockets.add(socket);
        socket.on("error", () => {});
        serve(socket);
      });
      server.listen(0, host);
      await once(server, "listening");
      return (server.address() as AddressInfo).port;
    }

    function open(port: number, address?: string) {
      const parts: Buffer[] = [];
      let fin = false;
      const stream = connection.open({
        kind: "tcp",
        port,
        ...(address === undefined ? {} : { address }),
        window: 65_536,
        onRecord: (record) => {
          parts.push(record.bytes);
          fin ||= record.fin;
        },
      });
      return { stream, received: () => Buffer.concat(parts), hasEnded: () => fin };
    }

    it("carry bytes both ways and end when both sides have", async () => {
      const port = await listen((socket) => socket.pipe(socket));
      const { stream, received, hasEnded } = open(port);
      const content = Buffer.alloc(2_000_000, "some content\n");
      await stream.opened;
      await stream.write(content);
      await stream.endInput();
      const end = await stream.ended;
      assert.equal(end.failure, null);
      assert.ok(received().equals(content));
      assert.equal(hasEnded(), true);
    });

    it("can end in one direction and go on in the other", async () => {
      let heard = "";
      const port = await listen((socket) => {
        socket.end("goodbye");
        socket.on("data", (chunk) => {
          heard += chunk.toString();
        });
      });
      const { stream, received, hasEnded } = open(port);
      await waitFor(hasEnded, { what: "the end of the server's side" });
      assert.equal(received().toString(), "goodbye");
      await stream.write(Buffer.from("still here"));
      await waitFor(() => heard === "still here", { what: "what was written" });
      await stream.endInput();
      assert.equal((await stream.ended).failure, null);
    });

    it("say why they could not be made", async () => {
      const port = await listen(() => {});
      const closing = server;
      server = undefined;
      await new Promise((done) => closing?.close(done));
      await assert.rejects(open(port).stream.opened, /ECONNREFUSED/);
      await assert.rejects(open(0).stream.opened, /EINVAL/);
      await assert.rejects(open(port, "localhost").stream.opened, /EINVAL/);
    });

    it("reach IPv6 addresses", async (context) => {
      const port = await listen((socket) => socket.end("six"), "::1").catch(() => 0);
      if (port === 0) {
        context.skip("this host has no IPv6");
        return;
      }
      const { stream, received } = open(port, "::1");
      await stream.opened;
      await stream.endInput();
      await stream.ended;
      assert.equal(received().toString(), "six");
    });

    it("report a reset", async () => {
      const port = await listen((socket) => socket.once("data", () => socket.resetAndDestroy()));
      const { stream } = open(port);
      await stream.opened;
      await stream.write(Buffer.from("x"));
      assert.match((await stream.ended).failure?.code ?? "", /ECONNRESET|EPIPE/);
    });

    it("are reset when they are given up", async () => {
      const closed = Promise.withResolvers<string>();
      const port = await listen((socket) =>
        socket.on("error", (error: NodeJS.ErrnoException) => closed.resolve(error.code ?? "")),
      );
      const { stream } = open(port);
      await stream.opened;
      await waitFor(() => sockets.size > 0, { what: "the connection" });
      stream.close();
      assert.equal(await closed.promise, "ECONNRESET");
    });

    it("wait for a slow reader on either side", async () => {
      const content = Buffer.alloc(8_000_000, "x");
      let taken = 0;
      const port = await listen((socket) => {
        socket.write(content);
        socket.on("data", (chunk) => {
          taken += chunk.length;
          socket.pause();
          setImmediate(() => socket.resume());
        });
      });
      const { stream, received } = open(port);
      await stream.write(content);
      await waitFor(() => received().length === content.length && taken === content.length, {
        what: "all bytes",
        intervalMs: 50,
      });
      stream.close();
    });
  });
}

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { once } from "node:events";
import { existsSync, readFileSync, statSync, unlinkSync, writeFileSync } from "node:fs";
import { connect, type Socket } from "node:net";
import { join } from "node:path";
import { after, afterEach, before, describe, it } from "node:test";
import type { Arrival } from "@mags/domain";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { readArrival } from "../../src/agent/arrival.ts";
import type { AgentConnection } from "../../src/agent/index.ts";
import type { SocketAddress } from "../../src/agent/open-options.ts";
import { type AgentVariant, type HostAgent, startHostAgent } from "./host-agent.ts";

for (const variant of ["agent", "agent-asan"] satisfies AgentVariant[]) {
  describe(`connections that come in, through ${variant}`, () => {
    let temp: TempDir;
    let agent: HostAgent;
    let connection: AgentConnection;
    const clients = new Set<Socket>();

    before(async () => {
      temp = await makeTempDir();
      agent = await startHostAgent(variant);
      connection = await agent.connect();
    });
    afterEach(() => {
      for (const client of clients) client.destroy();
      clients.clear();
    });
    after(async () => {
      assert.deepEqual(agent.violations, []);
      await agent[Symbol.asyncDispose]();
      await temp[Symbol.asyncDispose]();
    });

    function listen(address: SocketAddress) {
      const arrivals: Arrival[] = [];
      const onRecord = ({ bytes }: { readonly bytes: Buffer }) => arrivals.push(readArrival(bytes));
      return { stream: connection.open({ kind: "listen", ...address, onRecord }), arrivals };
    }

    function dial(where: number | string): Socket {
      const client = typeof where === "number" ? connect(where, "127.0.0.1") : connect(where);
      clients.add(client);
      client.on("error", () => {});
      return client;
    }

    function accept(arrival: Arrival | undefined) {
      const parts: Buffer[] = [];
      const stream = connection.open({
        kind: "accept",
        connection: arrival?.connection ?? 0,
        onRecord: ({ bytes }) => parts.push(bytes),
      });
      return { stream, received: () => Buffer.concat(parts).toString() };
    }

    it("are told of with their address, are taken, and carry bytes both ways", async () => {
      const { stream, arrivals } = listen({ port: 0 });
      const { port } = await stream.opened;
      assert.ok(port);
      const client = dial(port);
      client.write("hello");
      await waitFor(() => arrivals.length === 1, { what: "the connection" });
      assert.deepEqual(arrivals[0]?.peer, { address: "127.0.0.1", port: client.localPort });
      const accepted = accept(arrivals[0]);
      await accepted.stream.opened;
      await waitFor(() => accepted.received() === "hello", { what: "what was written" });
      const heard = once(client, "data");
      await accepted.stream.write(Buffer.from("welcome"));
      assert.equal(String((await heard)[0]), "welcome");
      client.end();
      await accepted.stream.endInput();
      assert.equal((await accepted.stream.ended).failure, null);
      await assert.rejects(accept(arrivals[0]).stream.opened, /ENOENT/);
      stream.close();
    });

    it("come in over a Unix socket that only root may use, and which goes with the stream", async () => {
      const path = join(temp.path, "s");
      const { stream, arrivals } = listen({ path });
      assert.equal((await stream.opened).port, null);
      assert.equal(statSync(path).mode & 0o777, 0o600);
      dial(path).end("through a file");
      await waitFor(() => arrivals.length === 1, { what: "the connection" });
      assert.equal(arrivals[0]?.peer, null);
      const accepted = accept(arrivals[0]);
      await waitFor(() => accepted.received() === "through a file", { what: "what was written" });
      stream.close();
      await waitFor(() => !existsSync(path), { what: "the end of the file" });
      accepted.stream.close();
    });

    it("wait until they are taken, and end when nobody listens any more", async () => {
      const { stream, arrivals } = listen({ port: 0 });
      const { port } = await stream.opened;
      const all = Array.from({ length: 20 }, () => dial(port ?? 0));
      await waitFor(() => arrivals.length === 16, { what: "as many as may wait" });
      accept(arrivals[3]);
      await waitFor(() => arrivals.length === 17, { what: "the next" });
      const open = all.filter(({ closed }) => !closed);
      const taken = all.find(({ localPort }) => localPort === arrivals[3]?.peer?.port);
      stream.close();
      await waitFor(() => open.every((client) => client.closed || client.readableEnded || client === taken), {
        what: "the end of what was not taken",
      });
      assert.equal(taken?.closed, false);
    });

    it("need an address that is free", async () => {
      const { stream } = listen({ port: 0 });
      const { port } = await stream.opened;
      await assert.rejects(listen({ port: port ?? 0 }).stream.opened, /bind.*EADDRINUSE|EADDRINUSE.*bind/);
      await assert.rejects(listen({ port: 1, address: "localhost" }).stream.opened, /EINVAL/);
      await assert.rejects(listen({ path: "relative" }).stream.opened, /EINVAL/);
      await assert.rejects(listen({ path: "/no/such/folder/s" }).stream.opened, /ENOENT/);
      stream.close();
      const again = listen({ port: port ?? 0 });
      assert.equal((await again.stream.opened).port, port);
      again.stream.close();
    });

    it("leave alone what has taken the place of their file", async () => {
      const path = join(temp.path, "replaced");
      const { stream } = listen({ path });
      await stream.opened;
      unlinkSync(path);
      writeFileSync(path, "of somebody else");
      stream.close();
      await connection.ping();
      assert.equal(readFileSync(path, "utf8"), "of somebody else");
    });

    it("go on when the agent has had no descriptor left", async () => {
      const { stream, arrivals } = listen({ port: 0 });
      const { port } = await stream.opened;
      const limit = (soft: string) => execFileSync("prlimit", ["--pid", String(agent.pid), `--nofile=${soft}:`]);
      const usual = execFileSync("prlimit", ["--pid", String(agent.pid), "--nofile", "--output=SOFT", "--noheadings"]);
      limit("4");
      dial(port ?? 0);
      // It finds out before it answers the second.
      await connection.ping();
      await connection.ping();
      assert.equal(arrivals.length, 0);
      limit(String(usual).trim());
      await waitFor(() => arrivals.length === 1, { what: "the connection" });
      stream.close();
    });

    it("make room when there are too many streams to take them", async () => {
      const { stream, arrivals } = listen({ port: 0 });
      const { port } = await stream.opened;
      const others = Array.from({ length: 256 }, () => listen({ port: 0 }).stream);
      await Promise.allSettled(others.map(({ opened }) => opened));
      for (let count = 1; count <= 20; count++) {
        dial(port ?? 0);
        await waitFor(() => arrivals.length === count, { what: "the connection", intervalMs: 1 });
        await assert.rejects(accept(arrivals.at(-1)).stream.opened, /EMFILE/);
      }
      for (const other of [stream, ...others]) other.close();
    });

    it("wait in a full backlog as long as there is somebody who dials", async () => {
      const path = join(temp.path, "full");
      const { stream, arrivals } = listen({ path });
      await stream.opened;
      let open = 0;
      const clients = Array.from({ length: 150 }, () => connection.open({ kind: "tcp", path }));
      for (const client of clients) client.opened.then(() => open++).catch(() => {});
      await waitFor(() => open > 140 && arrivals.length === 16, { what: "a full backlog" });
      clients.at(-1)?.close(); // while it waits
      for (let taken = 0; taken < 10; taken++) {
        await waitFor(() => arrivals.length > taken, { what: "one more" });
        await accept(arrivals[taken]).stream.opened;
      }
      await waitFor(() => open === 149, { what: "all" });
      for (const one of [stream, ...clients]) one.close();
    });

    it("are reached from inside by path, too", async () => {
      const path = join(temp.path, "inside");
      const { stream, arrivals } = listen({ path });
      await stream.opened;
      const client = connection.open({ kind: "tcp", path });
      await client.opened;
      await waitFor(() => arrivals.length === 1, { what: "the connection" });
      stream.close();
      client.close();
    });
  });
}

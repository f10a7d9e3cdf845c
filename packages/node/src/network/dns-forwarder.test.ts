import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { createSocket, type Socket } from "node:dgram";
import { once } from "node:events";
import { connect, createServer } from "node:net";
import { afterEach, describe, it } from "node:test";
import { silentLogger, sleep } from "@mags/core";
import { waitFor } from "@mags/test-kit";
import { type GuestDnsRules, startDnsForwarder } from "./dns-forwarder.ts";

const scope: (() => Promise<void> | void)[] = [];
afterEach(async () => {
  for (const close of scope.splice(0)) await close();
});

/** A query for the A record of example.test. */
function query(id: number): Buffer {
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt8(1, 2);
  header.writeUInt16BE(1, 4);
  header.writeUInt16BE(1, 10); // an additional record follows, as resolvers send it
  const question = Buffer.from("\x07example\x04test\0\0\x01\0\x01", "latin1");
  return Buffer.concat([header, question, Buffer.from([0, 0, 41, 4, 208, 0, 0, 0, 0, 0, 0])]);
}

const framed = (message: Buffer) => Buffer.concat([Buffer.from([message.length >> 8, message.length & 255]), message]);

async function bound(answer: (message: Buffer, socket: Socket, port: number) => void): Promise<number> {
  const socket = createSocket("udp4");
  socket.on("message", (message, peer) => answer(message, socket, peer.port));
  socket.bind(0, "127.0.0.1");
  await once(socket, "listening");
  scope.push(() => void socket.close());
  return socket.address().port;
}

async function askThrough(port: number, message: Buffer): Promise<Buffer> {
  const socket = createSocket("udp4");
  socket.send(message, port, "127.0.0.1");
  const [reply] = (await once(socket, "message", { signal: AbortSignal.timeout(5_000) })) as [Buffer];
  socket.close();
  return reply;
}

async function forwarder(
  serverPort: number,
  servers: readonly string[],
  rules?: GuestDnsRules,
): Promise<{ readonly port: number }> {
  const start = () =>
    startDnsForwarder(
      { log: silentLogger },
      { address: "127.0.0.1", port: 0, serverPort, tryMs: 200, servers: async () => servers, rulesOf: () => rules },
    );
  // The free UDP port that it is given may be taken for TCP.
  const started = await start().catch(start).catch(start);
  scope.push(async () => started[Symbol.asyncDispose]());
  return started;
}

describe("DNS forwarder", () => {
  it("passes queries and answers on unchanged", async () => {
    const server = await bound((message, socket, port) =>
      socket.send(Buffer.concat([message, Buffer.from("answer")]), port),
    );
    const { port } = await forwarder(server, ["127.0.0.1"]);
    const message = query(7);
    assert.deepEqual(await askThrough(port, message), Buffer.concat([message, Buffer.from("answer")]));
  });

  it("drops answers with another id and asks the next server when one is silent", async () => {
    let asked = 0;
    const server = await bound((message, socket, port) => {
      asked++;
      const wrong = Buffer.from(message);
      wrong.writeUInt16BE(message.readUInt16BE(0) ^ 1, 0);
      socket.send(asked === 1 ? wrong : message, port);
    });
    const { port } = await forwarder(server, ["127.0.0.1", "127.0.0.1"]);
    assert.deepEqual(await askThrough(port, query(9)), query(9));
    assert.equal(asked, 2);
  });

  it("says server failure when no server answers or none can be reached, and lives on", async () => {
    const silent = await bound(() => {});
    for (const servers of [["127.0.0.1"], [], ["not an address"], ["255.255.255.255"]]) {
      const { port } = await forwarder(silent, servers);
      const reply = await askThrough(port, query(11));
      assert.equal(reply.readUInt16BE(0), 11);
      assert.equal(reply.readUInt8(3) & 15, 2);
      assert.equal(reply.length, 12 + 18);
    }
  });

  it("ignores what is no message", async () => {
    const server = await bound((message, socket, port) => socket.send(message, port));
    const { port } = await forwarder(server, ["127.0.0.1"]);
    const socket = createSocket("udp4");
    for (const text of ["", "x", "x".repeat(11)]) socket.send(text, port, "127.0.0.1");
    assert.deepEqual(await askThrough(port, query(1)), query(1));
    socket.close();
  });

  it("is not hurt by a guest that names port 0 as its own", async () => {
    const server = await bound((message, socket, port) => socket.send(message, port));
    const { port } = await forwarder(server, ["127.0.0.1"]);
    // A raw socket: the kernel gives nobody that port.
    const program =
      "import socket,struct,sys; p=bytes.fromhex(sys.argv[2]); s=socket.socket(socket.AF_INET,socket.SOCK_RAW,17); s.sendto(struct.pack('!4H',0,int(sys.argv[1]),8+len(p),0)+p,('127.0.0.1',0))";
    execFileSync("python3", ["-c", program, String(port), query(3).toString("hex")]);
    assert.deepEqual(await askThrough(port, query(4)), query(4));
  });

  it("answers one guest no more than 64 queries at a time, and others all the same", async () => {
    let asked = 0;
    const server = await bound((message, socket, port) => {
      asked++;
      if (message.readUInt16BE(0) === 9_999) socket.send(message, port);
    });
    const { port } = await forwarder(server, ["127.0.0.1"]);
    const greedy = createSocket("udp4");
    scope.push(() => void greedy.close());
    greedy.bind(0, "127.0.0.2");
    await once(greedy, "listening");
    for (let id = 0; id < 100; id++) greedy.send(query(id), port, "127.0.0.1");
    await waitFor(() => asked >= 64, { what: "the queries" });
    assert.deepEqual(await askThrough(port, query(9_999)), query(9_999));
    assert.equal(asked, 65);
  });

  it("can be closed while a query waits for its answer", async () => {
    let asked = false;
    const server = await bound(() => {
      asked = true;
    });
    const { port } = await forwarder(server, ["127.0.0.1", "127.0.0.1"]);
    const socket = createSocket("udp4");
    scope.push(() => void socket.close());
    socket.send(query(5), port, "127.0.0.1");
    await waitFor(() => asked, { what: "the query" });
    await scope.pop()?.();
    await scope.splice(scope.length - 1, 1)[0]?.();
    await sleep(20); // a rejection that nobody handles would end this process
  });

  it("carries TCP both ways, also for a client that says no more once it has asked", async () => {
    const upstream = createServer((socket) => socket.pipe(socket));
    upstream.listen(0, "127.0.0.1");
    await once(upstream, "listening");
    scope.push(() => void upstream.close());
    const { port } = await forwarder((upstream.address() as { port: number }).port, ["127.0.0.1"]);
    const client = connect(port, "127.0.0.1");
    client.end(framed(query(5)));
    const parts: Buffer[] = [];
    client.on("data", (chunk: Buffer) => void parts.push(chunk));
    await once(client, "close");
    assert.deepEqual(Buffer.concat(parts), framed(query(5)));
  });

  it("passes on questions for records only: no changes, no transfers, no answers, nothing with several questions", async () => {
    let asked = 0;
    const server = await bound((message, socket, port) => {
      asked++;
      socket.send(message, port);
    });
    const { port } = await forwarder(server, ["127.0.0.1"]);
    const changed = (change: (message: Buffer) => void) => {
      const message = query(3);
      change(message);
      return message;
    };
    const type = query(3).indexOf("\0\0\x01\0\x01", 0, "latin1") + 1;
    const odd = [
      changed((message) => message.writeUInt8(5 << 3, 2)), // UPDATE
      changed((message) => message.writeUInt8(0x80, 2)),
      changed((message) => message.writeUInt16BE(252, type)), // AXFR
      changed((message) => message.writeUInt16BE(251, type)),
    ];
    for (const message of odd) assert.equal((await askThrough(port, message)).readUInt8(3) & 15, 5);
    const socket = createSocket("udp4");
    scope.push(() => void socket.close());
    socket.send(
      changed((message) => message.writeUInt16BE(2, 4)),
      port,
      "127.0.0.1",
    );
    assert.deepEqual(await askThrough(port, query(4)), query(4));
    assert.equal(asked, 1);
  });

  it("still serves each guest a little when others have taken all places", async () => {
    let asked = 0;
    const silent = await bound((message, socket, port) => {
      asked++;
      if (message.readUInt16BE(0) === 9_999) socket.send(message, port);
    });
    const { port } = await forwarder(silent, ["127.0.0.1", "127.0.0.1", "127.0.0.1", "127.0.0.1"]);
    for (let guest = 0; guest < 17; guest++) {
      const socket = createSocket("udp4");
      scope.push(() => void socket.close());
      socket.bind(0, `127.0.1.${guest + 1}`);
      await once(socket, "listening");
      for (let id = 0; id < 64; id++) socket.send(query(id), port, "127.0.0.1");
      await waitFor(() => asked >= Math.min(1_000, 64 * (guest + 1)), { what: "the queries", intervalMs: 1 });
    }
    assert.deepEqual(await askThrough(port, query(9_999)), query(9_999));
  });

  describe("for a guest with rules", () => {
    /** Refuses queries with an odd id; notes what is admitted, and fails for id 8. */
    function ruleSet(admitted: number[]): GuestDnsRules {
      return {
        refuse: (message) => (message.readUInt16BE(0) % 2 === 1 ? { answer: Buffer.from("refused") } : undefined),
        async admit(message) {
          await sleep(5);
          admitted.push(message.readUInt16BE(0));
          if (message.readUInt16BE(0) === 8) throw new Error("cannot be admitted");
        },
      };
    }

    it("passes a query on only if it may, and an answer only when it was admitted", async () => {
      let asked = 0;
      const server = await bound((message, socket, port) => {
        asked++;
        socket.send(message, port);
      });
      const admitted: number[] = [];
      const { port } = await forwarder(server, ["127.0.0.1"], ruleSet(admitted));
      assert.equal((await askThrough(port, query(7))).toString(), "refused");
      assert.equal(asked, 0);
      assert.deepEqual(await askThrough(port, query(6)), query(6));
      assert.equal((await askThrough(port, query(8))).readUInt8(3) & 15, 2);
      assert.deepEqual(admitted, [6, 8]);
    });

    it("does so over TCP too, for several messages on one connection in any cut", async () => {
      const upstream = createServer((socket) => socket.pipe(socket));
      upstream.listen(0, "127.0.0.1");
      await once(upstream, "listening");
      scope.push(() => void upstream.close());
      const admitted: number[] = [];
      const serverPort = (upstream.address() as { port: number }).port;
      const { port } = await forwarder(serverPort, ["127.0.0.1"], ruleSet(admitted));
      const client = connect(port, "127.0.0.1");
      scope.push(() => void client.destroy());
      let received = Buffer.alloc(0);
      client.on("data", (chunk: Buffer) => {
        received = Buffer.concat([received, chunk]);
      });
      const sent = Buffer.concat([2, 3, 4].map((id) => framed(query(id))));
      for (const byte of sent) client.write(Buffer.from([byte]));
      const expected = [query(2), Buffer.from("refused"), query(4)].map(framed);
      await waitFor(() => received.length === Buffer.concat(expected).length, { what: "the answers" });
      for (const message of expected) assert.ok(received.includes(message));
      assert.deepEqual(admitted, [2, 4]);
    });

    it("ends a connection that sends what is no message", async () => {
      const upstream = createServer(() => {});
      upstream.listen(0, "127.0.0.1");
      await once(upstream, "listening");
      scope.push(() => void upstream.close());
      const { port } = await forwarder((upstream.address() as { port: number }).port, ["127.0.0.1"], ruleSet([]));
      const client = connect(port, "127.0.0.1");
      client.on("error", () => {});
      client.write(Buffer.from([0, 3, 1, 2, 3]));
      client.resume();
      await once(client, "close");
    });
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, type Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { createSeededRandom, waitFor } from "@mags/test-kit";
import ssh2 from "ssh2";
import { startTestGateway, type TestGateway } from "./harness.ts";

describe("clients that mean no good", () => {
  let test: TestGateway;
  const sockets = new Set<Socket>();
  before(async () => {
    test = await startTestGateway({ signInMs: 1_000, channels: 8, strangers: 10 });
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    await test[Symbol.asyncDispose]();
  });

  function dial(): Socket {
    const socket = connect(test.gateway.port, "127.0.0.1");
    sockets.add(socket);
    return socket.on("error", () => {}).resume();
  }
  const closed = (socket: Socket) => new Promise((resolve) => socket.once("close", resolve));
  const othersAreServed = async () => assert.equal((await test.ssh(["box@h", "echo fine"])).stdout, "fine\n");

  async function signIn(): Promise<ssh2.Client> {
    const client = new ssh2.Client();
    const options = { host: "127.0.0.1", port: test.gateway.port, username: "box" };
    client.connect({ ...options, privateKey: await readFile(test.keyFile) });
    await once(client, "ready");
    return client;
  }

  it("that say nothing, or never finish a line, are given up", async () => {
    const silent = dial();
    const slow = dial();
    const dripping = setInterval(() => slow.writable && slow.write("S"), 50);
    await Promise.all([closed(silent), closed(slow)]);
    clearInterval(dripping);
    await othersAreServed();
  });

  it("that stop after their version are given up", async () => {
    const socket = dial();
    socket.write("SSH-2.0-Slow\r\n");
    await closed(socket);
    await othersAreServed();
  });

  it("that send garbage are given up, and nothing else ends", async () => {
    const random = createSeededRandom(7);
    for (let n = 0; n < 30; n++) {
      const socket = dial();
      const ended = closed(socket);
      if (n % 2 === 0) socket.write("SSH-2.0-Odd\r\n");
      socket.write(Buffer.from(Array.from({ length: random.between(1, 5_000) }, () => random.between(0, 255))));
      socket.end();
      await ended;
    }
    await othersAreServed();
  });

  it("may be ten strangers of one address at a time, and no more", async () => {
    const many = Array.from({ length: 40 }, dial);
    const ends = many.map((socket) => closed(socket).then(() => socket));
    await waitFor(() => many.filter(({ destroyed }) => destroyed).length >= 30, { what: "the end of the rest" });
    await Promise.all(ends);
    await othersAreServed();
  });

  it("have so many tries", async () => {
    const client = new ssh2.Client();
    let tries = 0;
    const stranger = await readFile(test.strangersKeyFile);
    const authHandler = () => {
      tries++;
      return { type: "publickey" as const, username: "box", key: stranger };
    };
    client.connect({ host: "127.0.0.1", port: test.gateway.port, username: "box", authHandler });
    client.on("error", () => {});
    await once(client, "close");
    assert.ok(tries <= 6, String(tries));
    await othersAreServed();
  });

  it("have so many channels, and the connection goes on", async () => {
    const client = await signIn();
    const open = () =>
      new Promise<boolean>((resolve) => client.exec("sleep 60", (error) => resolve(error === undefined)));
    const opened = await Promise.all(Array.from({ length: 20 }, open));
    assert.equal(opened.filter(Boolean).length, 8);
    client.end();
    await othersAreServed();
  });
});

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

  it("that stop in the middle of the exchange of keys are given up", async () => {
    const client = new ssh2.Client();
    client.on("error", () => {});
    const ended = new Promise<void>((resolve) => client.on("close", () => resolve()));
    client.connect({ host: "127.0.0.1", port: test.gateway.port, username: "box", hostVerifier: () => {} });
    await ended;
    await othersAreServed();
  });

  it("that announce a packet longer than there may be are given up", async () => {
    const socket = dial();
    const ended = closed(socket);
    socket.write(Buffer.concat([Buffer.from("SSH-2.0-Long\r\n"), Buffer.alloc(64, 0xff)]));
    await ended;
    await othersAreServed();
  });

  it("that have nothing in common are told so", async () => {
    for (const option of ["Ciphers=aes128-cbc", "KexAlgorithms=diffie-hellman-group14-sha1", "MACs=hmac-sha1"]) {
      const alone = option.startsWith("MACs") ? ["-c", "aes128-ctr"] : [];
      const { exitCode, stderr } = await test.ssh(["-v", ...alone, "-o", option, "box@h", "true"]);
      assert.equal(exitCode, 255);
      assert.match(stderr, /no matching/, option);
    }
    assert.equal((await test.ssh(["-C", "box@h", "echo not compressed"])).stdout, "not compressed\n");
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

  it("have so many variables, sizes and signals, and the session goes on", async () => {
    const client = await signIn();
    const env = Object.fromEntries(Array.from({ length: 150 }, (_, n) => [`V${n}`, "x"]));
    const opened = Promise.withResolvers<ssh2.ClientChannel>();
    const command = "trap 'n=x$n' USR1; echo on; read line; echo $(env | grep -c ^V)";
    client.exec(command, { env, pty: true }, (error, channel) =>
      error ? opened.reject(error) : opened.resolve(channel),
    );
    const channel = await opened.promise;
    let text = "";
    channel.on("data", (piece: Buffer) => {
      text += piece.toString();
    });
    await waitFor(() => text.includes("on"), { what: "its beginning" });
    for (let n = 0; n < 5_000; n++) {
      channel.setWindow(10 + (n % 50), 80, 0, 0);
      channel.signal("USR1");
    }
    channel.write("go\r");
    await waitFor(() => text.includes("100"), { what: "100 variables" });
    const { resizes } = test.execs;
    await waitFor(() => resizes.at(-1)?.rows === 59, { what: "the last size" });
    assert.ok(resizes.length < 1_000, String(resizes.length));
    client.end();
  });
});

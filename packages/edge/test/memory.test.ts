import assert from "node:assert/strict";
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { connect, createServer, type Server, type Socket } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import ssh2 from "ssh2";

/** What one client may cost, beside what is garbage. Without a bound it would be hundreds of MiB. */
const MOST_BYTES = 48 * 1024 * 1024;
const HUGE_WINDOW = 2 ** 31 - 1;
const PACKET_BYTES = 32 * 1024;

/** What a client of ssh2 has beside its interface: it does what no decent client does. */
interface Inside {
  readonly _sock: Socket;
  readonly _protocol: {
    readonly _handlers: Record<string, (protocol: unknown, told: { recipient: number; sender: number }) => void>;
    session(channel: number, windowBytes: number, packetBytes: number): void;
    directTcpip(channel: number, windowBytes: number, packetBytes: number, to: object): void;
    exec(channel: number, command: string, wantsReply: boolean): void;
    channelData(channel: number, bytes: Buffer): void;
    rekey(): void;
  };
}

describe("what a gateway holds in memory", () => {
  let gateway: ChildProcess;
  let port: number;
  let privateKey: Buffer;
  let zeros: Server;
  const sockets = new Set<Socket>();
  before(async () => {
    gateway = fork(join(import.meta.dirname, "gateway.program.ts"), { stdio: ["ignore", "inherit", "inherit", "ipc"] });
    const [told] = (await once(gateway, "message")) as [{ port: number; keyFile: string }];
    port = told.port;
    privateKey = await readFile(told.keyFile);
    zeros = createServer((socket) => {
      const block = Buffer.alloc(65_536);
      const fill = () => {
        while (socket.writable && socket.write(block));
      };
      socket.on("error", () => {}).on("drain", fill);
      fill();
    }).listen(0, "127.0.0.1");
    await once(zeros, "listening");
  });
  after(async () => {
    for (const socket of sockets) socket.destroy();
    zeros.close();
    const over = once(gateway, "exit");
    gateway.send("end");
    await over;
  });

  async function held(): Promise<number> {
    const told = once(gateway, "message") as Promise<[{ bytes: number }]>;
    gateway.send("memory");
    return (await told)[0].bytes;
  }
  function dial(): Socket {
    const socket = connect(port, "127.0.0.1");
    sockets.add(socket);
    return socket.on("error", () => {});
  }
  async function signIn(): Promise<ssh2.Client & Inside> {
    const client = new ssh2.Client();
    client.on("error", () => {});
    client.connect({ sock: dial(), username: "box", privateKey });
    await once(client, "ready");
    return client as ssh2.Client & Inside;
  }
  /** The server's number of a channel whose window is huge. */
  async function open(client: Inside, ask: () => void): Promise<number> {
    const { promise, resolve } = Promise.withResolvers<number>();
    client._protocol._handlers.CHANNEL_OPEN_CONFIRMATION = (_, { sender }) => resolve(sender);
    ask();
    return promise;
  }
  /** While nothing of it is read: until memory grows no more. */
  async function costs(client: Inside, act: () => void): Promise<number> {
    const before = await held();
    client._sock.pause();
    act();
    let [last, most, still] = [before, 0, 0];
    await waitFor(
      async () => {
        const now = await held();
        most = Math.max(most, now - before);
        still = Math.abs(now - last) < 1_000_000 ? still + 1 : 0;
        last = now;
        return still >= 4 || most > 2 * MOST_BYTES;
      },
      { what: "memory that grows no more", intervalMs: 100 },
    );
    client._sock.destroy();
    return most;
  }
  async function othersAreServed(): Promise<void> {
    const client = await signIn();
    const text = await new Promise((resolve, reject) =>
      client.exec("echo fine", (error, channel) => (error ? reject(error) : channel.on("data", resolve))),
    );
    assert.equal(String(text), "fine\n");
    client.end();
  }

  it("is bounded for who does not read what a command writes, whatever the window", async () => {
    const client = await signIn();
    const channel = await open(client, () => client._protocol.session(0, HUGE_WINDOW, PACKET_BYTES));
    const bytes = await costs(client, () => client._protocol.exec(channel, "cat /dev/zero", false));
    assert.ok(bytes < MOST_BYTES, String(bytes));
  });

  it("is bounded for who does not read what comes through a forward", async () => {
    const client = await signIn();
    const { port: dstPort } = zeros.address() as { port: number };
    const to = { dstIP: "127.0.0.1", dstPort, srcIP: "127.0.0.1", srcPort: 1 };
    const bytes = await costs(client, () => client._protocol.directTcpip(0, HUGE_WINDOW, PACKET_BYTES, to));
    assert.ok(bytes < MOST_BYTES, String(bytes));
  });

  it("is bounded for who begins an exchange of keys and does not go on", async () => {
    const client = await signIn();
    const channel = await open(client, () => client._protocol.session(0, HUGE_WINDOW, PACKET_BYTES));
    client._protocol.exec(channel, "sleep 0.2; cat /dev/zero", false);
    const bytes = await costs(client, () => client._protocol.rekey());
    assert.ok(bytes < MOST_BYTES, String(bytes));
  });

  it("is bounded for who sends more than its window, and ends the connection", async () => {
    const client = await signIn();
    const channel = await open(client, () => client._protocol.session(0, HUGE_WINDOW, PACKET_BYTES));
    client._protocol.exec(channel, "sleep 60", false);
    const block = Buffer.alloc(PACKET_BYTES);
    const over = new Promise((resolve) => client._sock.on("close", resolve));
    const before = await held();
    for (let n = 0; n < 1_000; n++) client._protocol.channelData(channel, block);
    await over;
    const bytes = (await held()) - before;
    assert.ok(bytes < MOST_BYTES, String(bytes));
    await othersAreServed();
  });

  it("comes back after a thousand connections at once, and others are served meanwhile", async () => {
    const before = await held();
    const many = Array.from({ length: 1_000 }, dial);
    await Promise.all(many.map((socket) => once(socket, "connect")));
    for (const [n, socket] of many.entries()) {
      const greeting = ["", "SSH-2.0-", "SSH-2.0-Half\r\n", "SSH-2.0-Odd\r\n\0\0\0\x0c"][n % 4] ?? "";
      socket.resume().write(greeting);
    }
    await othersAreServed();
    await waitFor(() => many.every(({ destroyed }) => destroyed), { what: "their end", deadlineMs: 60_000 });
    const bytes = (await held()) - before;
    assert.ok(bytes < 16 * 1024 * 1024, String(bytes));
  });
});

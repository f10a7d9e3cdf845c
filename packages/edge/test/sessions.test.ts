import assert from "node:assert/strict";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import type { Socket } from "node:net";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import type ssh2 from "ssh2";
import { startTestGateway, type TestGateway } from "./harness.ts";

/** What a client of ssh2 has beside its interface: it sends what others would. */
interface Protocol {
  openssh_agentForward(channel: number, wantsReply: boolean): void;
  exec(channel: number, command: string, wantsReply: boolean): void;
  signal(channel: number, name: string): void;
  session(channel: number, windowBytes: number, packetBytes: number): void;
  channelClose(channel: number): void;
  readonly _handlers: Record<string, unknown>;
}
const protocolOf = (client: ssh2.Client) => (client as unknown as { _protocol: Protocol })._protocol;
const insideOf = (channel: ssh2.Channel) =>
  channel as unknown as { readonly outgoing: { readonly id: number }; readonly _callbacks: unknown[] };
const idOf = (channel: ssh2.Channel) => insideOf(channel).outgoing.id;
/** Of the next request of the channel that wants one. */
const answerOf = (channel: ssh2.Channel) =>
  new Promise<"done" | "refused">((resolve) =>
    insideOf(channel)._callbacks.push((isRefused: boolean) => resolve(isRefused ? "refused" : "done")),
  );

/** Bytes of the other end that the kernel could not deliver, and could not be read there. */
async function queuedFor({ localPort = 0, remotePort = 0 }: Socket): Promise<string> {
  const hex = (port: number) => `:${port.toString(16).toUpperCase().padStart(4, "0")}`;
  const lines = (await readFile("/proc/net/tcp", "utf8")).split("\n").map((line) => line.trim().split(/\s+/));
  const line = lines.find(([, from, to]) => from?.endsWith(hex(remotePort)) && to?.endsWith(hex(localPort)));
  return line?.[4] ?? "";
}

describe("sessions", () => {
  let test: TestGateway;
  before(async () => {
    test = await startTestGateway();
  });
  after(() => test[Symbol.asyncDispose]());

  const exec = (client: ssh2.Client, command: string) =>
    new Promise<ssh2.ClientChannel>((resolve, reject) =>
      client.exec(command, (error, channel) => (error ? reject(error) : resolve(channel))),
    );
  const run = (client: ssh2.Client, command: string) =>
    new Promise((resolve, reject) =>
      client.exec(command, (error, channel) => (error ? reject(error) : channel.resume().on("close", resolve))),
    );
  const hashOf = (data: string | Buffer) => createHash("sha256").update(data).digest("hex");
  const ended = () => waitFor(() => test.execs.count === 0, { what: "the end of all commands" });

  it("have output and errors whole and in order, also when both fill the client's window", async () => {
    const seed = "seq 1 700000";
    const { stdout, stderr } = await test.ssh(["box@h", `${seed} | tee >(cat >&2)`]);
    const expected = await test.run("sh", ["-c", seed]);
    assert.equal(stdout.length, expected.stdout.length);
    assert.equal(hashOf(stdout), hashOf(expected.stdout));
    assert.equal(hashOf(stderr), hashOf(expected.stdout));
  });

  it("end when nobody reads their output any more", async () => {
    const ssh = ["ssh", ...test.options(), "box@h"].map((word) => `'${word}'`).join(" ");
    const { stdout } = await test.run("sh", [
      "-c",
      `${ssh} yes | head -1; ${ssh} 'seq 1 9999999; echo $? >&2' | head -1`,
    ]);
    assert.equal(stdout, "y\n1\n");
    await ended();
  });

  it("have errors whole when a command ends on them", async () => {
    const { stderr, exitCode } = await test.ssh(["box@h", "seq 1 400000 >&2; exit 3"]);
    assert.deepEqual([stderr.length, exitCode], [2_688_895, 3]);
  });

  it("have all of it while keys are exchanged again and again", async () => {
    const input = randomBytes(8_000_000);
    const { stdout } = await test.ssh(["-o", "RekeyLimit=1M", "box@h", "cat"], { input });
    assert.ok(Buffer.from(stdout, "latin1").equals(input));
  });

  it("are hung up when their client leaves with input that was not taken", async () => {
    const client = await test.signIn();
    const channel = await exec(client, "trap 'exit' HUP; echo on; while :; do sleep 0.05; done");
    await once(channel, "data");
    channel.write(Buffer.alloc(4_000_000));
    client.end();
    await waitFor(() => test.notes.at(-1)?.what === "ended", { what: "the end of the connection" });
    await ended();
  });

  it("are hung up when their client sends its end, and does not read what waits", async () => {
    const client = await test.signIn();
    const channels = await Promise.all(Array.from({ length: 8 }, () => exec(client, "yes")));
    await Promise.all(channels.map((channel) => once(channel, "data")));
    const { _sock: socket } = client as unknown as { readonly _sock: Socket };
    socket.pause();
    let last = "";
    const stuck = async () => {
      const queued = await queuedFor(socket);
      const same = queued === last && !queued.startsWith("00000000");
      last = queued;
      return same;
    };
    await waitFor(stuck, { what: "output that waits for the client", intervalMs: 250 });
    socket.end();
    await ended();
    client.destroy();
  });

  it("pass signals on, also after the end of the input", async () => {
    const client = await test.signIn();
    const channel = await exec(client, "trap 'echo usr1; exit 9' USR1; cat; echo on; while :; do sleep 0.05; done");
    const exit = once(channel, "exit");
    channel.end();
    await once(channel, "data");
    protocolOf(client).signal(idOf(channel), "USR1");
    assert.equal(String((await once(channel, "data"))[0]), "usr1\n");
    assert.equal((await exit)[0], 9);
    client.end();
  });

  it("answer what they do not know, while a command runs as well", { timeout: 20_000 }, async () => {
    const client = await test.signIn();
    const channel = await exec(client, "cat");
    const answer = answerOf(channel);
    protocolOf(client).openssh_agentForward(idOf(channel), true);
    assert.equal(await answer, "refused");
    client.end();
  });

  it("leave nothing when nothing is begun in them", async () => {
    const client = await test.signIn();
    const protocol = protocolOf(client);
    const answers = protocol._handlers;
    let opened = 0;
    let closed = 0;
    answers.CHANNEL_OPEN_CONFIRMATION = (_: unknown, { sender }: { sender: number }) => {
      opened++;
      protocol.channelClose(sender);
    };
    answers.CHANNEL_CLOSE = () => {
      closed++;
    };
    for (let n = 1; n <= 200; n++) {
      protocol.session(n, 1_000, 32_768);
      await waitFor(() => closed === n, { what: `the end of session ${n}`, intervalMs: 1 });
    }
    assert.equal(opened, 200);
    client.end();
  });

  it("are one command each", async () => {
    const client = await test.signIn();
    const channel = await exec(client, "sleep 60");
    const answer = answerOf(channel);
    protocolOf(client).exec(idOf(channel), "echo second", true);
    assert.equal(await answer, "refused");
    client.end();
    await ended();
  });

  it("end with their connection when the client takes packets too small", async () => {
    const client = await test.signIn();
    const protocol = protocolOf(client);
    protocol._handlers.CHANNEL_OPEN_CONFIRMATION = (_: unknown, { sender }: { sender: number }) =>
      protocol.exec(sender, "echo hello", true);
    protocol.session(0, 1_000_000, 0);
    await once(client, "close");
    await ended();
  });

  it("are told to the audit log in few notes", async () => {
    const from = test.notes.length;
    const client = await test.signIn();
    for (let n = 0; n < 101; n++) await run(client, "true");
    client.end();
    await waitFor(() => test.notes.at(-1)?.what === "ended", { what: "the end" });
    const notes = test.notes.slice(from);
    assert.deepEqual(
      notes.map(({ what }) => what),
      ["signed_in", "session", "session", "ended"],
    );
    const connection = notes[0]?.data.connection;
    assert.equal(typeof connection, "string");
    assert.deepEqual(notes[2]?.data, { connection, kind: "exec", count: 100 });
    assert.equal(notes.at(-1)?.data.connection, connection);
    assert.equal(notes.at(-1)?.data.sessions, 101);
    assert.ok(Number(notes.at(-1)?.data.bytes_out) > 1_000);
  });
});

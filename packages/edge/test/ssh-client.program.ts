/**
 * A client of ssh2 for benchmarks: `ssh-client.program.ts PORT USER KEYFILE`. Does what each line of stdin asks for (JSON)
 * and prints how many milliseconds it took; connections stay open until stdin ends.
 */
import assert from "node:assert/strict";
import { once } from "node:events";
import { readFile } from "node:fs/promises";
import { createInterface } from "node:readline";
import ssh2 from "ssh2";

/** `open`: so many more connections. `exec`: one short command. `echo`: a byte typed on a terminal, until it is shown. */
interface Request {
  readonly what: "open" | "exec" | "echo";
  readonly count: number;
}

/** Fewer than may be strangers at a time. */
const AT_ONCE = 8;
const [, , port = "", username = "", keyFile = ""] = process.argv;
const privateKey = await readFile(keyFile, "utf8");
const clients: ssh2.Client[] = [];
let terminal: ssh2.ClientChannel | undefined;

async function open(): Promise<ssh2.Client> {
  const client = new ssh2.Client();
  client.connect({ host: "127.0.0.1", port: Number(port), username, privateKey, readyTimeout: 120_000 });
  await once(client, "ready");
  client.setNoDelay(true);
  client.on("error", () => {});
  clients.push(client);
  return client;
}

async function openMany(count: number): Promise<void> {
  let left = count;
  await Promise.all(
    Array.from({ length: AT_ONCE }, async () => {
      while (left-- > 0) await open();
    }),
  );
}

async function exec(client: ssh2.Client): Promise<void> {
  // All of it may come in one packet: its end must not be missed.
  const code = await new Promise((resolve, reject) => {
    client.exec("true", (error, channel) => {
      if (error) return reject(error);
      Promise.all([once(channel, "exit"), once(channel, "close")]).then(([[exitCode]]) => resolve(exitCode), reject);
      channel.resume();
    });
  });
  assert.equal(code, 0);
}

async function openTerminal(client: ssh2.Client): Promise<ssh2.ClientChannel> {
  const opened = await new Promise<ssh2.ClientChannel>((resolve, reject) =>
    client.exec("echo on; exec cat", { pty: true }, (error, one) => (error ? reject(error) : resolve(one))),
  );
  await once(opened, "data");
  return opened;
}

async function echo(client: ssh2.Client): Promise<number> {
  terminal ??= await openTerminal(client);
  const begunMs = performance.now();
  terminal.write("x");
  await once(terminal, "data");
  return performance.now() - begunMs;
}

const first = await open();
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const { what, count } = JSON.parse(line) as Request;
  const begunMs = performance.now();
  let took: number | undefined;
  if (what === "echo") took = await echo(first);
  else await (what === "exec" ? exec(first) : openMany(count));
  process.stdout.write(`${took ?? performance.now() - begunMs}\n`);
}
for (const client of clients) client.destroy();

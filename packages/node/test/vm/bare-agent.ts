/**
 * `node bare-agent.ts`: one microVM, driven by the connection to its agent and nothing else, as a reference for benchmarks.
 * Prints `ready`, then does what each line of stdin asks for (JSON) and prints how many milliseconds it took.
 */
import assert from "node:assert/strict";
import { createInterface } from "node:readline";
import type { AgentConnection, OpenOptions } from "../../src/agent/index.ts";
import { openTestHost } from "./support.ts";

/** `exec`: one short command to its end. `echo`: a byte typed on a terminal, until it is shown. The others carry `bytes`. */
interface Request {
  readonly what: "exec" | "echo" | "stdout" | "stdin" | "read" | "write";
  readonly bytes: number;
}

/** As the server has it for files. */
const WINDOW_BYTES = 2 * 1024 * 1024;
const PATH = "/root/bare";
const piece = Buffer.alloc(63 * 1024, "bare agent\n");

async function receive(agent: AgentConnection, options: OpenOptions, bytes: number): Promise<void> {
  let received = 0;
  const stream = agent.open({
    ...options,
    onRecord: (record) => {
      received += record.bytes.length;
    },
  });
  const { failure } = await stream.ended;
  assert.deepEqual([failure, received], [null, bytes]);
}

async function send(agent: AgentConnection, options: OpenOptions, bytes: number): Promise<void> {
  const stream = agent.open(options);
  for (let left = bytes; left > 0; left -= piece.length) await stream.write(piece.subarray(0, left));
  await stream.endInput();
  const { failure, exitCode } = await stream.ended;
  assert.deepEqual([failure, exitCode], [null, 0]);
  stream.close();
}

/** @returns what types a byte and waits until it is shown. */
async function openTerminal(agent: AgentConnection): Promise<() => Promise<void>> {
  let shown = Promise.withResolvers<void>();
  const stream = agent.open({
    ...{ kind: "pty", argv: ["/bin/sh", "-c", "echo on; exec cat"], rows: 24, cols: 80 },
    onRecord: () => shown.resolve(),
  });
  await shown.promise;
  return async () => {
    shown = Promise.withResolvers();
    await stream.write(Buffer.from("x"));
    await shown.promise;
  };
}

let terminal: (() => Promise<void>) | undefined;

async function answer(agent: AgentConnection, { what, bytes }: Request): Promise<void> {
  const shell = (command: string) => ["/bin/sh", "-c", command];
  switch (what) {
    case "exec": {
      const { stdout } = await agent.run({ argv: shell("echo hi") });
      assert.equal(stdout.toString(), "hi\n");
      return;
    }
    case "echo":
      return terminal?.();
    case "stdout":
      return receive(agent, { kind: "exec", argv: shell(`head -c ${bytes} /dev/zero`) }, bytes);
    case "stdin":
      return send(agent, { kind: "exec", argv: shell("cat >/dev/null"), stdin: true }, bytes);
    case "read":
      return receive(agent, { kind: "fileRead", path: PATH, window: WINDOW_BYTES }, bytes);
    case "write":
      return send(agent, { kind: "fileWrite", path: PATH, atomic: true }, bytes);
    default:
      what satisfies never;
  }
}

await using host = await openTestHost();
const { microVm, agent } = await host.park({ mounted: true });
await microVm.machine.resume();
process.stdout.write("ready\n");
for await (const line of createInterface({ input: process.stdin })) {
  const request = JSON.parse(line) as Request;
  if (request.what === "echo") terminal ??= await openTerminal(agent);
  const begunMs = performance.now();
  await answer(agent, request);
  process.stdout.write(`${performance.now() - begunMs}\n`);
}
await host.host.release(microVm);

import assert from "node:assert/strict";
import { Writable } from "node:stream";
import { it } from "node:test";
import type { Channel } from "ssh2";
import { createSender } from "./sender.ts";

/** Waits with each write, as ssh2 does where there is no window. */
function stalled() {
  const written: string[] = [];
  const stream = new Writable({
    write(bytes: Buffer, _encoding, taken) {
      written.push(bytes.toString());
      Object.assign(stream, { _chunk: bytes, _chunkcb: taken });
    },
  });
  return { stream, written, take: () => (stream as unknown as { _chunkcb(): void })._chunkcb() };
}

it("output that waits is given up when the client takes no more, and errors that wait are not", async () => {
  const [output, errors] = [stalled(), stalled()];
  const room = { wait: async () => {} };
  const sender = createSender(output.stream as unknown as Channel, room);
  const said: string[] = [];
  const error = sender.send(errors.stream, Buffer.from("problem")).then(() => void said.push("problem"));
  await new Promise((resolve) => setImmediate(resolve));
  sender.dropOutput();
  await new Promise((resolve) => setImmediate(resolve));
  assert.deepEqual([said, errors.written], [[], ["problem"]]);
  errors.take();
  await error;
  await sender.send(output.stream, Buffer.from("late"));
  assert.deepEqual(output.written, []);

  const other = stalled();
  const fresh = createSender(other.stream as unknown as Channel, room);
  const waiting = fresh.send(other.stream, Buffer.from("output"));
  await new Promise((resolve) => setImmediate(resolve));
  fresh.dropOutput();
  await waiting;
  assert.deepEqual(other.written, ["output"]);
});

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";

/** Runs work in a process of its own, and sends that a signal once it says that it works. */
async function interrupted(work: string, signal: NodeJS.Signals) {
  const program = `
    import { untilInterrupted } from "${import.meta.dirname}/interruption.ts";
    setInterval(() => {}, 1 << 30);
    await untilInterrupted(async (signal) => {
      process.stdout.write("working\\n");
      await new Promise((resolve) => signal.addEventListener("abort", resolve));
      ${work}
    });
    process.exit(0);`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const errors = text(child.stderr);
  let out = "";
  child.stdout.setEncoding("utf8").on("data", (piece: string) => {
    if (out === "") child.kill(signal);
    out += piece;
  });
  const [exitCode] = await once(child, "close");
  return { out, errors: await errors, exitCode };
}

describe("untilInterrupted", () => {
  const clearsUp = 'process.stdout.write("cleared up\\n"); signal.throwIfAborted();';
  for (const [signal, exitCode] of [
    ["SIGHUP", 129],
    ["SIGINT", 130],
    ["SIGTERM", 143],
  ] as const)
    it(`exits with ${exitCode} after a ${signal}, when the work has cleared up`, async () => {
      assert.deepEqual(await interrupted(clearsUp, signal), {
        ...{ out: "working\ncleared up\n", errors: `magsd: ended by ${signal}\n`, exitCode },
      });
    });

  it("says so when clearing up failed", async () => {
    const fails = `await using _left = { async [Symbol.asyncDispose]() { throw new Error("it stays"); } };
      signal.throwIfAborted();`;
    const { errors, exitCode } = await interrupted(fails, "SIGINT");
    assert.deepEqual([errors, exitCode], ["magsd: ended by SIGINT; clearing up failed: it stays\n", 130]);
  });

  it("lets work that was done all the same be done", async () => {
    assert.deepEqual(await interrupted("", "SIGINT"), { out: "working\n", errors: "", exitCode: 0 });
  });
});

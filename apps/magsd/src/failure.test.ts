import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { text } from "node:stream/consumers";
import { describe, it } from "node:test";

const HERE = import.meta.dirname;

/** Runs code in a process that logs to its stdout and ends on stray errors. */
async function crash(code: string) {
  const program = `
    import { createLogger } from "${HERE}/logger.ts";
    import { endOnStrayErrors } from "${HERE}/failure.ts";
    endOnStrayErrors(createLogger("info"));
    setInterval(() => {}, 1 << 30);
    ${code}`;
  const child = spawn(process.execPath, ["--input-type=module-typescript", "--eval", program], {
    stdio: ["ignore", "pipe", "pipe"],
  });
  const [out, errors, [exitCode]] = await Promise.all([text(child.stdout), text(child.stderr), once(child, "exit")]);
  return { line: JSON.parse(out), errors, exitCode };
}

describe("endOnStrayErrors", () => {
  const cases = [
    ["uncaughtException", 'setImmediate(() => { throw new Error("oops", { cause: new Error("why") }); });'],
    ["unhandledRejection", 'Promise.reject(new Error("oops", { cause: new Error("why") }));'],
  ] as const;
  for (const [origin, code] of cases)
    it(`logs an ${origin} and its causes, then ends the process`, async () => {
      const { line, errors, exitCode } = await crash(code);
      assert.equal(exitCode, 1);
      assert.equal(errors, "magsd: oops\n");
      assert.deepEqual([line.level, line.event, line.origin], ["fatal", "server.crashed", origin]);
      assert.equal(line.error.message, "oops");
      assert.match(line.error.stack, /Error: oops\n +at /);
      assert.equal(line.error.cause.message, "why");
    });

  it("logs what is thrown although it is no error", async () => {
    const { line, exitCode } = await crash('setImmediate(() => { throw "a text"; });');
    assert.deepEqual([line.error.message, exitCode], ["a text", 1]);
  });
});

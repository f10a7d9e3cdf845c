import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, before, describe, it } from "node:test";
import { type Place, startTestGateway, type TestGateway } from "./harness.ts";

const ssh = (place: Place) => () => {
  let test: TestGateway;
  before(async () => {
    test = await startTestGateway({}, place);
  });
  after(() => test[Symbol.asyncDispose]());

  it("runs a command: output, errors and exit code apart", async () => {
    const ran = await test.ssh(["box@h", "echo out; echo err >&2; exit 7"]);
    assert.deepEqual(ran, { exitCode: 7, stdout: "out\n", stderr: "err\n" });
  });

  it("passes input on, to its end", async () => {
    const input = randomBytes(3_000_000);
    const { stdout } = await test.ssh(["box@h", "cat"], { input });
    assert.ok(Buffer.from(stdout, "latin1").equals(input));
  });

  it("says which signal ended a command", async () => {
    const { exitCode, stderr } = await test.ssh(["-v", "box@h", "kill -TERM $$"]);
    assert.equal(exitCode, 255);
    assert.match(stderr, /exit-signal/);
  });

  it("passes the environment and the terminal with its modes", async () => {
    const { stdout } = await test.ssh(["-tt", "-o", "SetEnv=COLOR=blue", "box@h", 'echo "$COLOR $TERM"; stty -a'], {});
    assert.match(stdout, /^blue /);
    assert.ok(test.execs.started.at(-1)?.terminal?.modes?.length);
  });

  it("lets nobody in with a wrong key or a wrong name", async () => {
    for (const [name, keyFile] of [
      ["box", test.strangersKeyFile],
      ["nobody", test.keyFile],
    ] as const) {
      const { exitCode, stderr } = await test.ssh([`${name}@h`, "true"], { keyFile });
      assert.equal(exitCode, 255);
      assert.match(stderr, /Permission denied \(publickey\)/);
    }
  });
};

describe("ssh", ssh("within"));
describe("ssh, by an edge apart", ssh("apart"));

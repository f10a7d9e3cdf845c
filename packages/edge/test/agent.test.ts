import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { startTestGateway, type TestGateway } from "./harness.ts";

describe("the client's agent", () => {
  let test: TestGateway;
  let environment: { readonly SSH_AUTH_SOCK: string };
  const agent = new AbortController();
  before(async () => {
    test = await startTestGateway();
    environment = { SSH_AUTH_SOCK: join(test.runFolder, "agent") };
    const child = spawn("ssh-agent", ["-D", "-a", environment.SSH_AUTH_SOCK], { signal: agent.signal });
    child.on("error", () => {}); // it is ended so
    await once(child.stdout, "data");
    const { exitCode, stderr } = await test.run("ssh-add", ["-q", test.strangersKeyFile], { environment });
    assert.equal(exitCode, 0, stderr);
  });
  after(async () => {
    agent.abort();
    await test[Symbol.asyncDispose]();
  });
  const ssh = (args: readonly string[]) => test.run("ssh", [...test.options(), ...args], { environment });
  const sockets = async () => (await readdir(test.runFolder)).filter((name) => name.startsWith("ssh-agent-"));

  it("has its keys seen from inside, again and again, by who asks for it", async () => {
    const { stdout: own } = await test.run("ssh-add", ["-l"], { environment });
    const { stdout, stderr } = await ssh(["-A", "box@h", "ssh-add -l; ssh-add -l"]);
    assert.equal(stdout, own + own, stderr);
    assert.match(own, /ED25519/);
    assert.equal(test.notes.findLast(({ what }) => what === "forward")?.data.kind, "agent");
  });

  it("signs what is asked inside", async () => {
    const { stdout } = await ssh(["-A", "box@h", `ssh-add -T ${test.strangersKeyFile}.pub && echo signed`]);
    assert.equal(stdout, "signed\n");
  });

  it("is not there for others, and leaves no socket", async () => {
    assert.equal((await ssh(["-a", "box@h", 'echo "[$SSH_AUTH_SOCK]"'])).stdout, "[]\n");
    await waitFor(async () => (await sockets()).length === 0, { what: "the end of its sockets" });
  });

  it("does not keep a session from its end when it is in use", async () => {
    const { exitCode } = await ssh([
      "-A",
      "box@h",
      "while ssh-add -l; do :; done > /dev/null 2>&1 & sleep 0.2; exit 4",
    ]);
    assert.equal(exitCode, 4);
    await waitFor(async () => (await sockets()).length === 0, { what: "the end of its sockets" });
  });
});

import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { describe, it } from "node:test";
import { SshConfig } from "../ssh-config.ts";
import type { GatewayTask } from "./messages.ts";

const PROGRAM = join(import.meta.dirname, "gateway-program.ts");
const SECRET = "ab".repeat(32);

/** The process, as whoever starts it sees it. */
function started() {
  const child = spawn(process.execPath, [PROGRAM], { env: {}, stdio: ["pipe", "pipe", "ignore"] });
  const exit = once(child, "exit");
  return { child, exit, lines: createInterface({ input: child.stdout }) };
}

describe("the process of a gateway", () => {
  const task: GatewayTask = {
    ...{ upstream: { host: "127.0.0.1", port: 1, secret: SECRET }, uid: null },
    ...{ ssh: SshConfig.parse({ listen: { port: 0 } }), urls: null },
  };

  it("waits for its server, says why, and ends with whoever started it", async () => {
    const { child, exit, lines } = started();
    child.stdin.write(`${JSON.stringify(task)}\n`);
    const [line] = await once(lines, "line");
    assert.deepEqual(JSON.parse(line), { type: "upstream", problem: "connect ECONNREFUSED 127.0.0.1:1" });
    child.stdin.destroy(); // as when that is killed
    assert.deepEqual(await exit, [0, null]);
  });

  it("ends also where nobody tells it what to do", async () => {
    const { child, exit } = started();
    child.stdin.destroy();
    const [code] = await exit;
    assert.notEqual(code, null);
  });
});

/** A client of ssh2 in a process of its own, whose connections stay open. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { createInterface } from "node:readline";
import type { SshParty } from "./ssh-parties.ts";

const PROGRAM = join(import.meta.dirname, "../packages/edge/test/ssh-client.program.ts");

export interface SshClient extends AsyncDisposable {
  /** Milliseconds that it took, measured in that process. `open` opens `count` connections more. */
  measure(what: "open" | "exec" | "echo", count?: number): Promise<number>;
}

export async function startSshClient({ port, user, keyFile }: SshParty): Promise<SshClient> {
  const child = spawn(process.execPath, [PROGRAM, `${port}`, user, keyFile], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "close");
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  async function nextLine(): Promise<string> {
    const { value, done } = await lines.next();
    if (done) throw new Error("the process of the client ended early");
    return value;
  }
  await nextLine(); // it has signed in
  return {
    async measure(what, count = 1) {
      child.stdin.write(`${JSON.stringify({ what, count })}\n`);
      return Number(await nextLine());
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}

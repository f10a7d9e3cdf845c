/** The reference of what is done in guests: a microVM in a process of its own that has no server, API or database. */
import { spawn } from "node:child_process";
import { join } from "node:path";
import { createInterface } from "node:readline";

const PROGRAM = join(import.meta.dirname, "../packages/node/test/vm/bare-agent.ts");

export interface BareAgent extends AsyncDisposable {
  /** Milliseconds that it took, measured in that process. `exec` runs one short command, `echo` types a byte on a terminal; the others carry `bytes`. */
  measure(what: "exec" | "echo" | "stdout" | "stdin" | "read" | "write", bytes?: number): Promise<number>;
}

export async function startBareAgent(): Promise<BareAgent> {
  const child = spawn(process.execPath, [PROGRAM], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = new Promise<void>((resolve) => child.once("close", () => resolve()));
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  async function nextLine(): Promise<string> {
    const { value, done } = await lines.next();
    if (done) throw new Error("the process of the bare agent ended early");
    return value;
  }
  await nextLine(); // it has a microVM
  return {
    async measure(what, bytes = 0) {
      child.stdin.write(`${JSON.stringify({ what, bytes })}\n`);
      return Number(await nextLine());
    },
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}

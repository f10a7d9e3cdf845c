import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import type { Writable } from "node:stream";
import { after, before, describe, it } from "node:test";
import { TERMINAL_PROGRAM, waitFor } from "@mags/test-kit";
import { startTestGateway, type TestGateway } from "./harness.ts";

interface Person extends AsyncDisposable {
  type(text: string): void;
  /** Waits until it is read, after all that was read before. */
  reads(what: string): Promise<void>;
  resize(rows: number, cols: number): void;
  readonly exitCode: Promise<number | null>;
}

const [CTRL_C, CTRL_D, CTRL_X, CTRL_Z, BACKSPACE] = ["\x03", "\x04", "\x18", "\x1a", "\x7f"];
const SHELL = "PS1='ready> ' exec bash --norc --noprofile --noediting -i";
/** Of RFC 4254, section 8. */
const VINTR = 1;

describe("a terminal", () => {
  let test: TestGateway;
  before(async () => {
    test = await startTestGateway();
  });
  after(() => test[Symbol.asyncDispose]());

  /** Somebody at a terminal of 24 × 80 in which this runs. */
  function sitDown(command: string, environment: Readonly<Record<string, string>> = {}): Person {
    const child: ChildProcess = spawn("python3", [TERMINAL_PROGRAM, "24", "80", command], {
      stdio: ["pipe", "pipe", "inherit", "pipe"],
      env: { ...process.env, TERM: "xterm-256color", ...environment },
    });
    let seen = "";
    child.stdout?.setEncoding("utf8").on("data", (text: string) => {
      seen += text;
    });
    const exitCode = once(child, "close").then(([code]) => code as number | null);
    return {
      exitCode,
      type: (text) => void child.stdin?.write(text),
      resize: (rows, cols) => void (child.stdio[3] as Writable).write(`size ${rows} ${cols}\n`),
      async reads(what) {
        await waitFor(() => seen.includes(what), { what: JSON.stringify(what), intervalMs: 10 }).catch((error) => {
          throw new Error(`${error.message}, saw ${JSON.stringify(seen)}`);
        });
        seen = seen.slice(seen.indexOf(what) + what.length);
      },
      async [Symbol.asyncDispose]() {
        child.kill("SIGKILL");
        await exitCode;
      },
    };
  }
  const ssh = (args: string) => `ssh ${test.options().join(" ")} ${args}`;

  it("echoes, edits lines, and ends with the code of the shell on Ctrl-D", async () => {
    await using person = sitDown(ssh(`-tt box@h "${SHELL}"`));
    await person.reads("ready> ");
    person.type("echo $((40 + 2))\r");
    await person.reads("echo $((40 + 2))\r\n42\r\n");
    person.type(`echo onx${BACKSPACE}e\r`);
    await person.reads("\r\none\r\nready> ");
    person.type("stty -echo\r");
    await person.reads("ready> ");
    person.type("echo un\\seen\r");
    await person.reads("unseen\r\n");
    person.type("(exit 7)\r");
    await person.reads("ready> ");
    person.type(CTRL_D);
    assert.equal(await person.exitCode, 7);
  });

  it("interrupts, stops and goes on with what runs", async () => {
    await using person = sitDown(ssh(`-tt box@h "${SHELL}"`));
    await person.reads("ready> ");
    person.type("sleep 1000\r");
    await person.reads("sleep 1000\r\n");
    person.type(CTRL_C);
    await person.reads("ready> ");
    person.type("echo code $?\r");
    await person.reads("code 130");
    person.type("sleep 1001\r");
    await person.reads("sleep 1001\r\n");
    person.type(CTRL_Z);
    await person.reads("Stopped");
    person.type("fg\r");
    await person.reads("fg\r\nsleep 1001\r\n");
    person.type(CTRL_C);
    await person.reads("ready> ");
    person.type("exit 0\r");
    assert.equal(await person.exitCode, 0);
  });

  it("has the size of the client's, and is told of changes", async () => {
    await using person = sitDown(ssh(`-tt box@h "${SHELL}"`));
    await person.reads("ready> ");
    person.type(`sh -c 'trap "stty size" WINCH; stty size; while sleep 0.05; do :; done'\r`);
    await person.reads("\r\n24 80\r\n");
    person.resize(40, 132);
    await person.reads("40 132\r\n");
  });

  it("has the client's type, language, variables and keys", async () => {
    const options = "-o SendEnv=LANG -o SendEnv=LC_TIME -o SetEnv=GREETING=moin";
    const command = `stty intr ${CTRL_X}; ${ssh(`${options} -tt box@h "${SHELL}"`)}`;
    await using person = sitDown(command, { LANG: "C.UTF-8", LC_TIME: "de_DE.UTF-8" });
    await person.reads("ready> ");
    person.type("echo $TERM $LANG $LC_TIME $GREETING grün ✓\r");
    await person.reads("\r\nxterm-256color C.UTF-8 de_DE.UTF-8 moin grün ✓\r\n");
    const modes = test.execs.started.at(-1)?.terminal?.modes;
    assert.ok(modes);
    const found = new Map<number, number>();
    for (let at = 0; at + 5 <= modes.length; at += 5)
      found.set(modes[at] ?? 0, Buffer.from(modes).readUInt32BE(at + 1));
    assert.equal(found.get(VINTR), 0x18);
  });
});

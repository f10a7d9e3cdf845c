import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import type { AgentConnection } from "../../src/agent/index.ts";
import { type AgentVariant, type HostAgent, startHostAgent } from "./host-agent.ts";

for (const variant of ["agent", "agent-asan"] satisfies AgentVariant[]) {
  describe(`terminals of ${variant}`, () => {
    let agent: HostAgent;
    let connection: AgentConnection;

    before(async () => {
      agent = await startHostAgent(variant);
      connection = await agent.connect();
    });
    after(async () => {
      assert.deepEqual(agent.violations, []);
      await agent[Symbol.asyncDispose]();
    });

    /** A program in a terminal, and what it printed so far. */
    function open(command: string, options: { readonly window?: number; readonly modes?: Uint8Array } = {}) {
      let screen = "";
      const stream = connection.open({
        kind: "pty",
        argv: ["/bin/sh", "-c", command],
        environment: { PS1: "", TERM: "dumb" },
        rows: 30,
        cols: 100,
        ...options,
        onRecord: ({ bytes }) => {
          screen += bytes.toString();
        },
      });
      return {
        stream,
        type: (text: string) => stream.write(Buffer.from(text)),
        shows: (text: string) =>
          waitFor(() => screen.includes(text), { what: `${JSON.stringify(text)} on the screen` }),
        screen: () => screen,
      };
    }

    it("are the controlling terminal of what runs in them, with the size that was asked for", async () => {
      const terminal = open(
        "tty; stty size; test -t 0 && test -t 1 && test -t 2 && ps -o sid=,pgid=,tpgid= -p $$; exit 6",
      );
      const end = await terminal.stream.ended;
      assert.equal(end.exitCode, 6);
      const [tty, size, ids] = terminal.screen().split("\r\n");
      assert.match(tty ?? "", /^\/dev\/pts\/\d+$/);
      assert.equal(size, "30 100");
      const [session, group, foreground] = (ids ?? "").trim().split(/\s+/);
      assert.deepEqual([group, foreground], [session, session]);
    });

    it("have the modes that the client asks for", async () => {
      const mode = (opcode: number, value: number) => [opcode, 0, 0, 0, value];
      // VINTR ^X, VQUIT off, ECHO and ICRNL off, 8 bits, a speed, the end, and something behind it.
      const modes = [
        [1, 24],
        [2, 255],
        [53, 0],
        [36, 0],
        [91, 1],
        [129, 100],
        [0, 0],
        [50, 0],
      ] as const;
      const encoded = Buffer.from(modes.flatMap(([opcode, value]) => mode(opcode, value)));
      const terminal = open("stty -a", { modes: encoded });
      await terminal.stream.ended;
      assert.match(terminal.screen(), /intr = \^X; quit = <undef>;/);
      for (const expected of ["-echo", "-icrnl", "cs8", "isig", "icanon", "iutf8"])
        assert.match(terminal.screen(), new RegExp(`(^|\\s)${expected}(\\s|$)`));
    });

    it("take modes that make no sense for what they are", async () => {
      const terminal = open("echo fine", { modes: Buffer.from([53, 0, 0]) });
      await terminal.shows("fine");
      await terminal.stream.ended;
    });

    it("tell the program when their size changes", async () => {
      const terminal = open("trap 'stty size' WINCH; echo ready; while :; do sleep 0.01; done");
      await terminal.shows("ready");
      terminal.stream.resize({ rows: 50, cols: 132 });
      await terminal.shows("50 132");
      terminal.stream.close();
    });

    it("echo and edit what is typed, a character at a time", async () => {
      const terminal = open("read line; echo got $line");
      await terminal.stream.opened;
      await terminal.type("aä\x7fb\n");
      await terminal.shows("got ab");
      await terminal.stream.ended;
    });

    it("pass control characters on as signals, and do not end with their input", async () => {
      const terminal = open("trap 'echo interrupted' INT; echo ready; while :; do sleep 0.01; done");
      await terminal.shows("ready");
      await terminal.type("\x03");
      await terminal.shows("interrupted");
      await terminal.stream.endInput();
      terminal.stream.signal(2);
      await waitFor(() => terminal.screen().split("interrupted").length > 2, { what: "another interrupt" });
      terminal.stream.close();
    });

    it("hang up what runs in them when they are closed", async () => {
      const terminal = open("sleep 1005 & echo $!; wait");
      await terminal.shows("\n");
      const pid = Number(terminal.screen());
      terminal.stream.close();
      const isGone = async () =>
        (await connection.run({ argv: ["/bin/sh", "-c", `ps -o stat= -p ${pid} || echo gone`] })).stdout.toString();
      await waitFor(async () => /gone|Z/.test(await isGone()), { what: "the end of the program" });
    });

    it("lose nothing of large output, however slowly it is read", async () => {
      const terminal = open("stty raw; seq 1 200000; echo end", { window: 65_536 });
      await terminal.stream.ended;
      assert.equal(terminal.screen(), `${Array.from({ length: 200_000 }, (_, n) => `${n + 1}\n`).join("")}end\n`);
    });

    it("deliver the last output of a program, also when others hold the terminal", async () => {
      for (let round = 0; round < 20; round++) {
        const terminal = open(`setsid sh -c 'exec sleep 3' & echo line ${round}`);
        await terminal.stream.ended;
        assert.match(terminal.screen(), new RegExp(`line ${round}\r\n`));
      }
    });

    it("are counted", async () => {
      const terminals = [open("sleep 1006"), open("sleep 1006")];
      await Promise.all(terminals.map(({ stream }) => stream.opened));
      assert.equal((await connection.stats()).ttys, 2);
      for (const { stream } of terminals) stream.close();
      assert.equal((await connection.stats()).ttys, 0);
    });
  });
}

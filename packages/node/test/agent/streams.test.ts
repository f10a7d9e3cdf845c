import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { createFieldWriter, readFields } from "../../src/agent/fields.ts";
import { encodeFrame } from "../../src/agent/frame.ts";
import type { AgentConnection, AgentStream, StreamRecord } from "../../src/agent/index.ts";
import { FLAG, TAG, TYPE } from "../../src/agent/wire.ts";
import { type AgentVariant, type HostAgent, startHostAgent } from "./host-agent.ts";
import { createPortSwitch, type PortSwitch } from "./port-switch.ts";

const OUTPUT_BYTES = 20_000_000;
/** 20 MB of lines that differ, on stdout. */
const BIG_OUTPUT = ["/bin/sh", "-c", `seq 1 9999999 | head -c ${OUTPUT_BYTES}`];

function sequence(bytes: number): Buffer {
  const lines: string[] = [];
  for (let n = 1, length = 0; length < bytes; n++) {
    lines.push(`${n}\n`);
    length += `${n}\n`.length;
  }
  return Buffer.from(lines.join("")).subarray(0, bytes);
}

/** Keeps what a job's log would: records in order, by their numbers. */
function createJournal() {
  const parts: StreamRecord[] = [];
  let nextSeq = 0;
  let offset = 0;
  return {
    receive(record: StreamRecord) {
      assert.equal(record.seq, nextSeq, "no record is missing or doubled");
      assert.equal(record.offset, offset);
      nextSeq++;
      offset += record.bytes.length;
      parts.push(record);
    },
    get nextSeq() {
      return nextSeq;
    },
    get offset() {
      return offset;
    },
    content: (channel = 1) => Buffer.concat(parts.filter((part) => part.channel === channel).map(({ bytes }) => bytes)),
  };
}

const digest = (bytes: Buffer) => createHash("sha256").update(bytes).digest("hex");

for (const variant of ["agent", "agent-asan"] satisfies AgentVariant[]) {
  describe(`streams of ${variant}`, () => {
    describe("windows", () => {
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

      it("hold a stream whose reader is slow, while others go on", async () => {
        const journal = createJournal();
        const window = 1 << 20;
        const slow = connection.open({ kind: "exec", argv: BIG_OUTPUT, window, keep: true, onRecord: journal.receive });
        await waitFor(() => journal.offset > window - 100_000, { what: "a full window" });
        // Nothing of it is acknowledged; ten others send more than it may.
        const others = Array.from({ length: 10 }, async () => {
          let bytes = 0;
          const stream = connection.open({
            kind: "exec",
            argv: ["head", "-c", "3000000", "/dev/zero"],
            window: 65_536,
            onRecord: (record) => {
              bytes += record.bytes.length;
            },
          });
          await stream.ended;
          return bytes;
        });
        assert.deepEqual(await Promise.all(others), Array(10).fill(3_000_000));
        assert.ok(journal.offset <= window);

        let ended = false;
        const end = slow.ended.finally(() => {
          ended = true;
        });
        while (!ended) {
          slow.ack(journal.nextSeq, journal.offset);
          await new Promise(setImmediate);
        }
        assert.equal((await end).exitCode, 0);
        assert.equal(digest(journal.content()), digest(sequence(OUTPUT_BYTES)));
        slow.close();
      });

      it("hold a writer whose reader does not read", async () => {
        const stream = connection.open({ kind: "exec", argv: ["sleep", "1004"], stdin: true });
        await stream.opened;
        let written = 0;
        const writes = Array.from({ length: 40 }, async () => {
          await stream.write(Buffer.alloc(20_000));
          written += 20_000;
        });
        // Two round trips later the guest has all that its window allows.
        await connection.ping();
        await connection.ping();
        assert.ok(written > 200_000 && written <= 262_144, `${written} bytes`);
        stream.close();
        const results = await Promise.allSettled([...writes, stream.ended]);
        assert.ok(results.some(({ status }) => status === "rejected"));
      });

      it("let a writer go on as the process reads", async () => {
        const stream = connection.open({
          kind: "exec",
          argv: ["/bin/sh", "-c", "sleep 0.2; sha256sum"],
          stdin: true,
          onRecord,
        });
        let output = "";
        function onRecord({ bytes }: StreamRecord): void {
          output += bytes.toString();
        }
        const content = sequence(3_000_000);
        for (let at = 0; at < content.length; at += 100_000) await stream.write(content.subarray(at, at + 100_000));
        await stream.endInput();
        await stream.ended;
        assert.equal(output, `${digest(content)}  -\n`);
      });

      it("bound the number of records, too", async () => {
        await using dir = await makeTempDir();
        const names = Array.from({ length: 9_000 }, (_, n) => `${n}`);
        for (const name of names) writeFileSync(join(dir.path, name), "");
        const found = new Set<string>();
        const stream = connection.open({
          kind: "list",
          path: dir.path,
          keep: true,
          window: 8 << 20,
          onRecord: ({ bytes }) => found.add(readFields(bytes).bytes(TAG.name)?.toString() ?? ""),
        });
        await waitFor(() => found.size === 8_192, { what: "as many records as may be on the way" });
        await connection.ping();
        assert.equal(found.size, 8_192);
        stream.ack(1, 1);
        await waitFor(() => found.size === 8_193, { what: "one more" });
        stream.ack(stream.nextSeq, 1 << 16);
        await stream.ended;
        assert.deepEqual([...found].toSorted(), names.toSorted());
        stream.close();
      });
    });

    describe("connecting again", () => {
      let agent: HostAgent;
      let control: PortSwitch;
      let bulk: PortSwitch;
      let connection: AgentConnection;

      before(async () => {
        agent = await startHostAgent(variant);
        control = createPortSwitch(agent.control);
        bulk = createPortSwitch(agent.bulk);
      });
      after(async () => {
        assert.deepEqual(agent.violations, []);
        await agent[Symbol.asyncDispose]();
      });

      const connect = async () => {
        connection = await agent.connect({ control: control.plug(), bulk: bulk.plug() });
        return connection;
      };
      const kept = (key: string) => {
        const found = connection.kept.find((stream) => stream.key.toString() === key);
        assert.ok(found, `no stream ${key} was kept`);
        return found;
      };

      it("forgets streams that were not to be kept, and ends their processes", async () => {
        await connect();
        const stream = connection.open({ kind: "exec", argv: ["sleep", "1003"] });
        const { pid } = await stream.opened;
        await connect();
        assert.deepEqual(connection.kept, []);
        const { stdout } = await connection.run({ argv: ["/bin/sh", "-c", `ps -o stat= -p ${pid} || echo gone`] });
        assert.match(stdout.toString(), /gone|Z/);
      });

      it("loses and doubles nothing of a kept stream, wherever the connection is cut", {
        timeout: 120_000,
      }, async () => {
        await connect();
        const journal = createJournal();
        let stream: AgentStream = connection.open({
          kind: "exec",
          argv: ["/bin/sh", "-c", `seq 1 9999999 | head -c ${OUTPUT_BYTES}; echo err >&2; exit 9`],
          key: Buffer.from("cut"),
          keep: true,
          once: true,
          window: 1 << 20,
          onRecord,
        });
        function onRecord(record: StreamRecord): void {
          journal.receive(record);
          // Acknowledges late, as a log does that is synced in groups.
          if (record.seq % 4 === 3) stream.ack(record.seq - 1, record.offset - 0);
        }
        await stream.opened;
        let cuts = 0;
        for (const step of [1, 11, 12, 40, 65_535, 65_536, 65_537, 100_003, 700_001, 1_500_000, 3, 999_999]) {
          const before = cuts;
          void bulk.cutAfter(step, "to-host").then(() => cuts++);
          await Promise.race([stream.ended.catch(() => {}), waitFor(() => cuts > before, { what: "the cut" })]);
          if (cuts === before) break;
          await connect();
          stream = connection.resume(kept("cut"), { fromSeq: journal.nextSeq, onRecord });
        }
        const end = await stream.ended;
        assert.ok(cuts > 5);
        assert.equal(end.exitCode, 9);
        assert.equal(end.sent, journal.nextSeq);
        assert.equal(digest(journal.content()), digest(sequence(OUTPUT_BYTES)));
        assert.equal(journal.content(2).toString(), "err\n");
        stream.close();
        await connect();
        assert.deepEqual(connection.kept, []);
      });

      it("sends the end of a kept stream again when the connection is cut within it", async () => {
        await connect();
        for (let bytes = 0; bytes < 120; bytes += 13) {
          const key = `end ${bytes}`;
          const first = connection.open({
            kind: "exec",
            argv: ["sh", "-c", "read _; exit 5"],
            stdin: true,
            keep: true,
            key: Buffer.from(key),
          });
          await first.opened;
          const cut = control.cutAfter(bytes + 1, "to-host");
          await first.endInput();
          await Promise.race([cut, first.ended.catch(() => {})]);
          await connect();
          const again = connection.resume(kept(key), { fromSeq: 0 });
          const end = await again.ended;
          assert.equal(end.exitCode, 5);
          again.close();
        }
      });

      it("finds its feet again when a host left half a frame", async () => {
        for (const port of [control, bulk]) {
          for (const bytes of [1, 2, 5, 13, 100, 65_560, 70_000]) {
            await connect();
            const stream = connection.open({ kind: "exec", argv: ["sha256sum"], stdin: true });
            await stream.opened;
            const cut = port.cutAfter(bytes, "to-guest");
            const big = Buffer.alloc(150_000, "MG");
            stream.write(big).catch(() => {});
            connection.open({ kind: "exec", script: big });
            await cut;
          }
        }
        await connect();
        assert.equal((await connection.run({ argv: ["echo", "fine"] })).stdout.toString(), "fine\n");
      });

      it("keeps the end of a stream until it is closed", async () => {
        await connect();
        const journal = createJournal();
        const options = { kind: "exec", argv: ["/bin/sh", "-c", "echo a; exit 3"], keep: true } as const;
        const first = connection.open({ ...options, key: Buffer.from("end"), onRecord: journal.receive });
        assert.equal((await first.ended).exitCode, 3);
        for (let round = 0; round < 2; round++) {
          await connect();
          assert.equal(kept("end").ended, true);
          const again = connection.resume(kept("end"), { fromSeq: 1 });
          const end = await again.ended;
          assert.deepEqual([end.exitCode, end.sent], [3, 1]);
          if (round === 1) again.close();
          await connection.ping(); // what was sent has arrived
        }
        await connect();
        assert.deepEqual(connection.kept, []);
        assert.equal(journal.content().toString(), "a\n");
      });

      it("sends from the first record on that was not acknowledged, and says when that is too late", async () => {
        await connect();
        const first = connection.open({
          kind: "exec",
          argv: ["/bin/sh", "-c", "echo a; read _; echo b; read _; echo c; read _"],
          stdin: true,
          keep: true,
          key: Buffer.from("from"),
          onRecord: () => void first.write(Buffer.from("\n")),
        });
        await first.ended;
        first.ack(2, 4);
        await connection.ping();
        await connect();
        assert.throws(() => connection.resume(kept("from"), { fromSeq: 1 }), /forgotten/);
        assert.throws(() => connection.resume(kept("from"), { fromSeq: 9 }), /were stored/);
        const records: [number, number, string][] = [];
        const again = connection.resume(kept("from"), {
          fromSeq: 2,
          onRecord: ({ seq, offset, bytes }) => records.push([seq, offset, bytes.toString()]),
        });
        await again.ended;
        assert.deepEqual(records, [[2, 4, "c\n"]]);
        again.close();
      });

      it("goes on when all was stored but its acknowledgement was lost", async () => {
        await connect();
        const journal = createJournal();
        const first = connection.open({
          kind: "exec",
          argv: ["/bin/sh", "-c", "seq 1 9999999 | head -c 300000"],
          keep: true,
          window: 65_536,
          key: Buffer.from("lost ack"),
          onRecord: journal.receive,
        });
        await first.opened;
        await waitFor(() => journal.offset > 49_152, { what: "a full window" });
        await connection.ping();
        await connect();
        const again = connection.resume(kept("lost ack"), {
          fromSeq: journal.nextSeq,
          onRecord(record) {
            journal.receive(record);
            again.ack(journal.nextSeq, journal.offset);
          },
        });
        await again.ended;
        assert.equal(digest(journal.content()), digest(sequence(300_000)));
        again.close();
      });

      it("goes on with the input of a kept stream where the guest has it", async () => {
        await connect();
        const hasBoth = Promise.withResolvers<void>();
        const first = connection.open({
          kind: "exec",
          argv: ["/bin/sh", "-c", "read a; read b; echo $a $b; cat | wc -c"],
          stdin: true,
          keep: true,
          key: Buffer.from("input"),
          onRecord: () => hasBoth.resolve(),
        });
        await first.opened;
        await first.write(Buffer.from("one\n"));
        await first.write(Buffer.from("two\n"));
        await hasBoth.promise;
        await connect();
        assert.equal(kept("input").input.nextSeq, 2);
        let output = "";
        const again = connection.resume(kept("input"), { fromSeq: 0, onRecord: ({ bytes }) => (output += bytes) });
        assert.equal((await again.opened).pid, (await first.opened).pid);
        await again.write(Buffer.alloc(700_000));
        await again.endInput();
        await again.ended;
        assert.equal(output, "one two\n700000\n");
        again.close();
      });

      it("delivers nothing before every kept stream was taken up or closed", async () => {
        await connect();
        for (const name of ["x", "y"])
          await connection.open({ kind: "exec", argv: ["echo", name], keep: true, key: Buffer.from(name) }).ended;
        await connect();
        let done = false;
        const running = connection.run({ argv: ["echo", "z"] }).then((result) => {
          done = true;
          return result.stdout.toString();
        });
        let output = "";
        const x = connection.resume(kept("x"), { fromSeq: 0, onRecord: ({ bytes }) => (output += bytes) });
        await connection.ping();
        assert.deepEqual([done, output], [false, ""]);
        connection.closeKept(kept("y"));
        await x.ended;
        assert.deepEqual([await running, output], ["z\n", "x\n"]);
        x.close();
      });

      it("carries out what is sent right behind HELLO", async () => {
        let result: Promise<{ exitCode: number }> | undefined;
        await agent.connect(
          { control: control.plug(), bulk: bulk.plug() },
          {
            first: (early) => {
              result = early.run({ script: "exit 42" });
            },
          },
        );
        assert.equal((await result)?.exitCode, 42);
      });

      it("refuses versions that it does not speak", async () => {
        const port = control.plug();
        const nonce = Buffer.alloc(16, 7);
        const payload = createFieldWriter()
          .bytes(TAG.nonce, nonce)
          .u16(TAG.versionMin, 2)
          .u16(TAG.versionMax, 9)
          .finish();
        const answer = new Promise<Buffer>((resolve) => port.once("data", resolve));
        port.write(encodeFrame({ type: TYPE.hello, flags: 0, id: 0, payload }));
        const bytes = await answer;
        assert.equal(bytes.readUInt8(3), FLAG.reply | FLAG.error);
        assert.ok(bytes.includes(nonce));
        assert.ok(bytes.includes("version 1"));
        await connect();
        await connection.ping();
      });
    });
  });
}

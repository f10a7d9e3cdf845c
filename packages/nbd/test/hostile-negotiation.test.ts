/** A client that negotiates with servers that say what no honest one does. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { connectNbd, type NbdClient } from "@mags/nbd";
import { encodeOptionReply, u16, u32, u64 } from "../src/protocol/options.ts";
import { OPTION } from "../src/protocol/values.ts";
import { DEADLINE_MS } from "./harness.ts";
import { type Script, type ScriptedServer, SIZE, startScriptedServer } from "./scripted-server.ts";

const CONTEXTS = ["base:allocation", "qemu:dirty-bitmap:b"];

let server: ScriptedServer;
before(async () => {
  server = await startScriptedServer();
});
after(() => server[Symbol.asyncDispose]());

function connect(script: Script): Promise<NbdClient> {
  server.play(script);
  return connectNbd(server.path, {
    exportName: "disk",
    contexts: CONTEXTS,
    signal: AbortSignal.timeout(DEADLINE_MS),
  });
}

describe("negotiating with a server fails, with the reason, when it", () => {
  const info = (...parts: Buffer[]) => encodeOptionReply(OPTION.go, 3, Buffer.concat(parts));
  const ack = (option: number) => encodeOptionReply(option, 1);
  const size = info(u16(0), u64(SIZE), u16(3));
  const context = (id: number, name: string) =>
    encodeOptionReply(OPTION.setMetaContext, 4, Buffer.concat([u32(id), Buffer.from(name)]));
  const go = (...parts: Buffer[]): Script => ({ options: { [OPTION.go]: Buffer.concat(parts) } });
  const set = (...parts: Buffer[]): Script => ({ options: { [OPTION.setMetaContext]: Buffer.concat(parts) } });
  const cases: [string, RegExp, Script][] = [
    ["greets with something else", /sent no greeting of an NBD server/, { greeting: Buffer.alloc(18, 65) }],
    [
      "greets in the old style",
      /sent a greeting of the old style/,
      { greeting: Buffer.concat([Buffer.from("NBDMAGICIHAVEOPT"), u16(0)]) },
    ],
    [
      "has no structured replies",
      /it has no structured replies/,
      { options: { [OPTION.structuredReply]: encodeOptionReply(OPTION.structuredReply, 2 ** 31 + 1) } },
    ],
    ["answers another option", /sent a reply to an option that was not asked for/, go(ack(OPTION.list))],
    ["answers without magic", /sent a reply to an option that was not asked for/, go(Buffer.alloc(20))],
    [
      "answers with very much",
      /sent a reply to an option of 9000 bytes/,
      go(encodeOptionReply(7, 3, Buffer.alloc(9000))),
    ],
    ["answers without end", /sent replies to an option without end/, go(...Array(300).fill(size))],
    [
      "acknowledges with something",
      /more than belongs there/,
      go(size, encodeOptionReply(OPTION.go, 1, Buffer.alloc(1))),
    ],
    ["says no size", /sent an export without its size/, go(ack(OPTION.go))],
    ["says half a size", /sent a reply to an option that is cut short/, go(info(u16(0), u32(1)))],
    [
      "is larger than numbers are exact",
      /sent the size of an export that cannot be/,
      go(info(u16(0), u64(2 ** 53), u16(3))),
    ],
    ["has blocks of 3 bytes", /sizes of blocks that make no sense/, go(size, info(u16(3), u32(3), u32(3), u32(3)))],
    ["has blocks of no bytes", /sizes of blocks that make no sense/, go(size, info(u16(3), u32(0), u32(1), u32(1)))],
    [
      "is no multiple of its blocks",
      /no multiple of its blocks/,
      go(info(u16(0), u64(SIZE + 1), u16(3)), info(u16(3), u32(512), u32(512), u32(SIZE)), ack(OPTION.go)),
    ],
    ["gives a context that was not asked for", /a context that was not asked for/, set(context(1, "base:other"))],
    ["gives a context twice", /a context twice/, set(context(1, "base:allocation"), context(2, "base:allocation"))],
    ["gives a number twice", /a context twice/, set(context(1, "base:allocation"), context(1, "qemu:dirty-bitmap:b"))],
    ["refuses with an odd number", /option 10 was answered with error 99/, set(encodeOptionReply(10, 2 ** 31 + 99))],
  ];
  for (const [what, reason, script] of cases)
    it(what, async () => {
      await assert.rejects(connect(script), (error) => isAppError(error) && reason.test(error.message));
    });

  it("hangs and the caller gives up", async () => {
    server.play({ options: { [OPTION.go]: Buffer.alloc(0) } });
    const gaveUp = new AbortController();
    const opening = connectNbd(server.path, { exportName: "disk", signal: gaveUp.signal });
    setImmediate(() => gaveUp.abort(new Error("enough")));
    await assert.rejects(opening, /enough/);
  });
});

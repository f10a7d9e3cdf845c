/** The guest's end of a connection, which says what a test tells it to. */
import { duplexPair } from "node:stream";
import { silentLogger } from "@mags/core";
import type { AgentConnection } from "../../src/agent/agent-connection.ts";
import { openAgentConnection } from "../../src/agent/connection.ts";
import { type DataHeader, encodeData } from "../../src/agent/data.ts";
import { createFieldWriter, type FieldWriter } from "../../src/agent/fields.ts";
import { createFrameDecoder, encodeFrame, type Frame } from "../../src/agent/frame.ts";
import { FLAG, KIND, PAD_BYTES, TAG, TYPE } from "../../src/agent/wire.ts";

export const NONCE = Buffer.from("000102030405060708090a0b0c0d0e0f", "hex");
/** Ids of the connection's requests and streams count from here. */
export const FIRST_ID = 1;

export interface FakeGuest {
  readonly connection: AgentConnection;
  readonly violations: string[];
  /** What the host sent on the control port, HELLO left out. */
  readonly received: Frame[];
  readonly receivedBulk: Frame[];
  raw(port: "control" | "bulk", bytes: Buffer): Promise<void>;
  /** As `raw`, but waits until the host reads it. */
  written(port: "control" | "bulk", bytes: Buffer): Promise<void>;
  /** Answers HELLO on both ports. */
  greet(fields?: (writer: FieldWriter) => FieldWriter): Promise<void>;
  control(type: number, id: number, fields?: (writer: FieldWriter) => FieldWriter, flags?: number): Promise<void>;
  data(id: number, header: Partial<DataHeader>, bytes?: string | Uint8Array): Promise<void>;
  /** Lets the host take what was sent. */
  settled(): Promise<void>;
}

const nothing = (writer: FieldWriter) => writer;

export function helloFields(writer: FieldWriter): FieldWriter {
  return writer
    .bytes(TAG.nonce, NONCE)
    .u16(TAG.version, 1)
    .bytes(TAG.agentBuild, "fake")
    .bytes(TAG.identity, Buffer.alloc(16))
    .u8(TAG.diskState, 0);
}

/** The fields of a kept stream. */
export function keptFields(id: number, fields: { sent?: number; acked?: number; ended?: boolean } = {}): Buffer {
  return createFieldWriter()
    .u32(TAG.streamId, id)
    .u8(TAG.kind, KIND.exec)
    .bytes(TAG.key, "kept")
    .u64(TAG.sent, fields.sent ?? 0)
    .u64(TAG.acked, fields.acked ?? 0)
    .u64(TAG.received, 0)
    .u64(TAG.offset, 0)
    .u64(TAG.seq, 0)
    .u64(TAG.bytes, 0)
    .u32(TAG.window, 1000)
    .u8(TAG.ended, fields.ended ? 1 : 0)
    .finish();
}

export function createFakeGuest(): FakeGuest {
  const [hostControl, control] = duplexPair();
  const [hostBulk, bulk] = duplexPair();
  const violations: string[] = [];
  const received: Frame[] = [];
  const receivedBulk: Frame[] = [];
  for (const [port, frames] of [
    [control, received],
    [bulk, receivedBulk],
  ] as const) {
    const decoder = createFrameDecoder();
    let pad = PAD_BYTES;
    port.on("error", () => {});
    port.on("data", (chunk: Buffer) => {
      const skip = Math.min(pad, chunk.length);
      pad -= skip;
      decoder.push(chunk.subarray(skip), (frame) => {
        if (frame.type !== TYPE.hello) frames.push(frame);
      });
    });
  }
  const connection = openAgentConnection({
    control: hostControl,
    bulk: hostBulk,
    random: (bytes) => (bytes === NONCE.length ? NONCE : Buffer.alloc(bytes)),
    onViolation: (reason) => violations.push(reason),
    log: silentLogger,
  });
  const settled = () => new Promise<void>((resolve) => setImmediate(() => setImmediate(resolve)));

  async function raw(port: "control" | "bulk", bytes: Buffer): Promise<void> {
    (port === "control" ? control : bulk).write(bytes);
    await settled();
  }

  function written(port: "control" | "bulk", bytes: Buffer): Promise<void> {
    return new Promise((resolve, reject) =>
      (port === "control" ? control : bulk).write(bytes, (error) => (error ? reject(error) : resolve())),
    );
  }

  const guest: FakeGuest = {
    connection,
    violations,
    received,
    receivedBulk,
    raw,
    written,
    settled,
    async greet(fields = nothing) {
      await guest.control(TYPE.hello, 0, (writer) => fields(helloFields(writer)), FLAG.reply);
      const payload = createFieldWriter().bytes(TAG.nonce, NONCE).finish();
      await raw("bulk", encodeFrame({ type: TYPE.hello, flags: FLAG.reply, id: 0, payload }));
    },
    control: (type, id, fields = nothing, flags = 0) =>
      raw("control", encodeFrame({ type, flags, id, payload: fields(createFieldWriter()).finish() })),
    data: (id, header, bytes = "") =>
      raw(
        "bulk",
        Buffer.concat(
          encodeData(
            id,
            { channel: 1, fin: false, ageMs: 0, seq: 0, offset: 0, ...header },
            typeof bytes === "string" ? Buffer.from(bytes) : bytes,
          ),
        ),
      ),
  };
  return guest;
}

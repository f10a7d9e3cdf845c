/** The HELLO reply on the control port: what the guest kept of earlier connections. */
import { type FieldReader, readFields, required } from "./fields.ts";
import { readText } from "./guest-error.ts";
import { ProtocolViolation } from "./violation.ts";
import { KIND, MAX_STREAMS, MAX_WINDOW_BYTES, PROTOCOL_VERSION, TAG } from "./wire.ts";

export type StreamKind = keyof typeof KIND;
export type DiskState = "none" | "attached" | "frozen";

/** A stream of an earlier host process that the guest kept. */
export interface KeptStream {
  readonly id: number;
  readonly kind: StreamKind;
  readonly key: Buffer;
  /** Number of the next new record. */
  readonly sent: number;
  /** Number of the first record not acknowledged: records from here on can be had. */
  readonly acked: number;
  readonly ended: boolean;
  readonly pid: number | null;
  /** What the guest received from earlier hosts, and how much of it was taken by the process, file or socket. */
  readonly input: {
    readonly nextSeq: number;
    readonly nextOffset: number;
    readonly takenSeq: number;
    readonly takenOffset: number;
    readonly windowBytes: number;
  };
}

export interface AgentHello {
  /** Names the build of the agent. */
  readonly build: string;
  /** Machine id of the last IDENT; zeros before the first. */
  readonly identity: Buffer;
  readonly diskState: DiskState;
  readonly kept: readonly KeptStream[];
}

const DISK_STATES: readonly DiskState[] = ["none", "attached", "frozen"];
const KIND_NAMES = new Map<number, StreamKind>(
  Object.entries(KIND).map(([name, number]) => [number, name as StreamKind]),
);

/** @throws ProtocolViolation */
export function decodeHello(payload: Buffer): AgentHello {
  const fields = readFields(payload);
  if (required(fields.u16(TAG.version), "VERSION") !== PROTOCOL_VERSION)
    throw new ProtocolViolation("the agent picked a version that was not offered");
  const diskState = DISK_STATES[required(fields.u8(TAG.diskState), "DISK_STATE")];
  const identity = required(fields.bytes(TAG.identity), "IDENTITY");
  if (identity.length !== 16) throw new ProtocolViolation("IDENTITY has the wrong size");
  const kept = fields.all(TAG.stream, MAX_STREAMS).map((group) => decodeKept(readFields(group)));
  if (new Set(kept.map(({ id }) => id)).size !== kept.length) throw new ProtocolViolation("two streams have one id");
  return {
    build: readText(fields.bytes(TAG.agentBuild)),
    identity: Buffer.from(identity),
    diskState: required(diskState, "a known DISK_STATE"),
    kept,
  };
}

function decodeKept(fields: FieldReader): KeptStream {
  const kept: KeptStream = {
    id: required(fields.u32(TAG.streamId), "STREAM_ID"),
    kind: required(KIND_NAMES.get(required(fields.u8(TAG.kind), "KIND")), "a known KIND"),
    key: Buffer.from(fields.bytes(TAG.key) ?? []),
    sent: required(fields.u64(TAG.sent), "SENT"),
    acked: required(fields.u64(TAG.acked), "ACKED"),
    ended: required(fields.u8(TAG.ended), "ENDED") === 1,
    pid: fields.u32(TAG.pid) ?? null,
    input: {
      nextSeq: required(fields.u64(TAG.received), "RECEIVED"),
      nextOffset: required(fields.u64(TAG.offset), "OFFSET"),
      takenSeq: required(fields.u64(TAG.seq), "SEQ"),
      takenOffset: required(fields.u64(TAG.bytes), "BYTES"),
      windowBytes: required(fields.u32(TAG.window), "WINDOW"),
    },
  };
  const { input } = kept;
  const ordered = kept.acked <= kept.sent && input.takenSeq <= input.nextSeq && input.takenOffset <= input.nextOffset;
  if (kept.id === 0 || !ordered || input.windowBytes > MAX_WINDOW_BYTES)
    throw new ProtocolViolation(`the description of kept stream ${kept.id} contradicts itself`);
  return kept;
}

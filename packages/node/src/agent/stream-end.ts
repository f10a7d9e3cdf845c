/** END: how a stream ended. */
import { type FieldReader, required } from "./fields.ts";
import { type GuestFailure, readFailure } from "./guest-error.ts";
import { ProtocolViolation } from "./violation.ts";
import { TAG } from "./wire.ts";

const MAX_EXIT_CODE = 255;
/** SIGRTMAX. */
const MAX_SIGNAL = 64;

export interface StreamEnd {
  /** Number of records the guest sent in all. */
  readonly sent: number;
  /** `exec`, `pty`: 0–255; 128 + signal number when a signal ended it. 0 for other kinds. */
  readonly exitCode: number;
  readonly exitSignal: number | null;
  /** `timeoutMs` passed before the command ended. */
  readonly timedOut: boolean;
  /** `exec`, `pty`: from exec to exit, by a clock that is never stepped. 0 for other kinds. */
  readonly durationNs: number;
  /** Why the stream failed; never set for `exec` and `pty` unless the guest could not go on with them. */
  readonly failure: GuestFailure | null;
  /** `fileWrite`, `tarIn`: bytes taken. */
  readonly bytes: number;
}

/** @throws ProtocolViolation */
export function decodeEnd(fields: FieldReader): StreamEnd {
  return {
    sent: required(fields.u64(TAG.sent), "SENT"),
    exitCode: upTo(MAX_EXIT_CODE, fields.u32(TAG.exitCode), "EXIT_CODE") ?? 0,
    exitSignal: upTo(MAX_SIGNAL, fields.u32(TAG.exitSignal), "EXIT_SIGNAL") ?? null,
    timedOut: fields.u8(TAG.timedOut) === 1,
    durationNs: fields.u64(TAG.durationNs) ?? 0,
    failure: fields.u32(TAG.errno) === undefined ? null : readFailure(fields),
    bytes: fields.u64(TAG.bytes) ?? 0,
  };
}

function upTo(max: number, value: number | undefined, name: string): number | undefined {
  if (value !== undefined && value > max) throw new ProtocolViolation(`${name} is ${value}`);
  return value;
}

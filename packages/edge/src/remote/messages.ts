/** The JSON of the edge protocol: from and to what the domain has. Fields that are not known are left out. */
import { AppError, ERROR_STATUS, type ErrorCode } from "@mags/core";
import { type AccountId, type ExecId, type GuestId, isUuid, type JobId } from "@mags/domain";
import { z } from "zod";

const MOST_TEXT = 1_024;
const Text = z.string().max(MOST_TEXT);
/** Of the data of a note: keys, and characters of each. */
const MOST_FACTS = 16;
const MOST_NAME = 64;
const Offset = z.int().nonnegative();
const Port = z.int().min(0).max(65_535);

/** As base64. */
const bytes = (most: number) =>
  z.codec(z.base64().max(Math.ceil(most / 3) * 4), z.instanceof(Buffer), {
    decode: (text) => Buffer.from(text, "base64"),
    encode: (buffer) => buffer.toString("base64"),
  });
export const uuid = <T extends string>() =>
  z.custom<T>((value) => typeof value === "string" && isUuid(value), "must be a UUID");

export const SignIn = z.object({
  login: Text,
  key: z.object({ type: Text, blob: bytes(16 * 1024), fingerprint: Text }),
  port: Port,
  clientAddress: Text,
});

export const User = z.object({
  accountId: uuid<AccountId>(),
  keyName: Text,
  fingerprint: Text,
  target: Text,
  jobId: uuid<JobId>().nullable(),
  refusal: z
    .string()
    .max(16 * 1024)
    .nullable(),
});

/** What `find` answers. */
export const Found = z.object({ user: User, ticket: Text });

export const Note = z.object({
  what: z.enum(["signed_in", "refused", "session", "forward", "ended"]),
  login: Text,
  clientAddress: Text,
  user: User.nullable(),
  data: z
    .record(z.string().max(MOST_NAME), z.union([Text, z.number(), z.boolean(), z.null()]))
    .refine((data) => Object.keys(data).length <= MOST_FACTS, `must have at most ${MOST_FACTS} keys`),
});

const Place = { host: z.string().max(MOST_TEXT), port: Port };
const Address = z.union([z.object({ path: Text }), z.object(Place)]);

export const Guest = uuid<GuestId>();
/** In a guest: `connect`. */
export const AtGuest = z.object({ guest: Guest, at: Address });
/** In a guest: `visit`. */
export const PortOfGuest = z.object({ guest: Guest, port: Port });
export const Listen = AtGuest.extend({ wakes: z.boolean().default(true) });
export const Accept = z.object({ listener: z.uuid(), connection: z.int().nonnegative() });
export const Listening = z.object({ listener: z.uuid(), port: Port.nullable() });
export const ArrivalWire = z.object({
  connection: z.int().nonnegative(),
  peer: z.object({ address: Text, port: Port }).nullable(),
});
export const Ports = z.array(Port).max(65_536);

/** A command of an edge ends with its connection, and nobody comes back for it: that is not said. */
export const Exec = z.object({
  execId: uuid<ExecId>(),
  guest: Guest,
  accountId: uuid<AccountId>(),
  command: z.string().nullable(),
  terminal: z
    .object({
      rows: Port,
      cols: Port,
      term: Text,
      modes: bytes(16 * 1024).nullable(),
    })
    .nullable(),
  stdin: z.boolean(),
  environment: z.record(z.string(), z.string()),
  cwd: z.string().nullable(),
  timeoutMs: z.int().positive().nullable(),
  leavesGroup: z.boolean(),
});
export const Attached = z.object({ inputOffset: Offset, inputTaken: Offset });
export const End = z.object({
  exitCode: z.int(),
  signal: z.int().nullable(),
  timedOut: z.boolean(),
  lost: z.string().nullable(),
});

export const Failure = z.object({ code: z.string(), message: z.string() });

/** An error of the other end. */
export function errorOf({ code, message }: z.output<typeof Failure>): AppError {
  return new AppError(code in ERROR_STATUS ? (code as ErrorCode) : "internal", message);
}

/** For a person, in a note or log, when it is too long for a message. */
export const clipped = (text: string): string => (text.length > MOST_TEXT ? `${text.slice(0, MOST_TEXT - 1)}…` : text);

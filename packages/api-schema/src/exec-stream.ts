/** The streamed form of exec: two WebSocket routes and the messages on them. Described in docs/formats/exec-stream.md. */
import { z } from "zod";
import { ExecCommand, JobParams } from "./jobs.ts";
import { route } from "./route.ts";

/** Name and version of the protocol, as `Sec-WebSocket-Protocol`. */
export const EXEC_PROTOCOL = "mags-exec.v1";

/** Longest message in either direction. */
export const MAX_EXEC_MESSAGE_BYTES = 1024 * 1024;

/** Most output, in bytes, that is sent ahead of the client's acknowledgement. */
export const OUTPUT_WINDOW_BYTES = 1024 * 1024;

/** What may be sent to a process group. */
export const EXEC_SIGNALS = [
  ...["SIGHUP", "SIGINT", "SIGQUIT", "SIGKILL", "SIGUSR1", "SIGUSR2", "SIGALRM", "SIGTERM", "SIGCONT", "SIGSTOP"],
  ...["SIGTSTP", "SIGWINCH", "SIGPIPE"],
] as const;

const MAX_CELLS = 10_000;
/** 0 is what a terminal says that does not know its size. */
const Cells = z.int().min(0).max(MAX_CELLS);
const Offset = z.int().nonnegative();

const Environment = z
  .record(z.string().regex(/^[^=\0]+$/, "must be a name without ="), z.string().regex(/^[^\0]*$/))
  .refine((entries) => Object.keys(entries).length <= 1_000, "must have at most 1000 entries");

/** Text frames from the client. */
export const ExecClientMessage = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("start"),
    exec_id: z.uuid(),
    command: ExecCommand.optional(),
    tty: z
      .object({
        rows: Cells,
        cols: Cells,
        term: z
          .string()
          .regex(/^[\x21-\x7e]{1,64}$/)
          .default("xterm"),
      })
      .optional(),
    stdin: z.boolean().default(false),
    environment: Environment.default({}),
    cwd: z
      .string()
      .min(1)
      .max(4_096)
      .regex(/^[^\0]*$/)
      .optional(),
    timeout: z.number().positive().max(31_536_000).optional(),
  }),
  z.object({ type: z.literal("ack"), offset: Offset }),
  z.object({ type: z.literal("stdin_end"), offset: Offset }),
  z.object({ type: z.literal("resize"), rows: Cells, cols: Cells }),
  z.object({ type: z.literal("signal"), signal: z.enum(EXEC_SIGNALS) }),
  z.object({ type: z.literal("hangup") }),
  z.object({ type: z.literal("done") }),
]);
export type ExecClientMessage = z.infer<typeof ExecClientMessage>;

/** Text frames from the server. */
export const ExecServerMessage = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("started"),
    exec_id: z.uuid(),
    stdin_offset: Offset,
    stdin_taken: Offset,
    stdin_window: z.int(),
  }),
  z.object({ type: z.literal("stdin_ack"), offset: Offset }),
  z.object({ type: z.literal("notice"), text: z.string() }),
  z.object({
    type: z.literal("end"),
    exit_code: z.int(),
    signal: z.string().nullable(),
    timed_out: z.boolean(),
    reason: z.string().nullable(),
  }),
  z.object({ type: z.literal("error"), error: z.string(), code: z.string() }),
]);
export type ExecServerMessage = z.infer<typeof ExecServerMessage>;

export const execStream = route({
  method: "GET",
  path: "/mags-jobs/{id}/exec",
  summary: "Run a command with streamed input and output",
  description: `A WebSocket of the protocol \`${EXEC_PROTOCOL}\`: stdin, terminals, signals. The command outlives the connection.`,
  auth: "account",
  webSocket: EXEC_PROTOCOL,
  params: JobParams,
  responses: { 101: null },
  errors: [403, 404, 409],
});

export const execAttach = route({
  method: "GET",
  path: "/mags-execs/{exec_id}",
  summary: "Go on with a streamed command",
  description: `A WebSocket of the protocol \`${EXEC_PROTOCOL}\`, for a client that lost its connection.`,
  auth: "account",
  webSocket: EXEC_PROTOCOL,
  params: z.object({ exec_id: z.uuid() }),
  query: z.object({
    offset: z.coerce.number().pipe(Offset).default(0).describe("Bytes of output that the client has."),
  }),
  responses: { 101: null },
  errors: [403, 404],
});

/** A client of the streamed exec that repairs nothing. */
import { randomUUID } from "node:crypto";
import type { execs } from "@mags/api-schema";
import type { WebSocket } from "ws";
import type { ApiClient } from "./api-client.ts";
import { waitFor } from "./wait-for.ts";

type ServerMessage = execs.ExecServerMessage;

export interface ExecTestClient {
  readonly execId: string;
  readonly socket: WebSocket;
  /** Acknowledge all output at once. */
  acknowledges: boolean;
  /** Count output only. */
  discards: boolean;
  readonly bytes: number;
  output(source: "stdout" | "stderr"): Buffer;
  text(source: "stdout" | "stderr"): string;
  send(message: Readonly<Record<string, unknown>>): void;
  input(offset: number, text: string): void;
  /** The first message of that type, when it has come. */
  message<T extends ServerMessage["type"]>(type: T, deadlineMs?: number): Promise<Extract<ServerMessage, { type: T }>>;
  ended(): boolean;
  /** Code and reason. */
  readonly closed: Promise<[number, string]>;
}

/** @param start  What to start; nothing where a command is taken up. */
export async function openExecClient(
  api: ApiClient,
  path: string,
  start?: Readonly<Record<string, unknown>>,
): Promise<ExecTestClient> {
  const messages: ServerMessage[] = [];
  const output = { stdout: [] as Buffer[], stderr: [] as Buffer[] };
  let bytes = 0;
  let client: ExecTestClient | undefined;
  const execId = String(start?.exec_id ?? /mags-execs\/([^?]+)/.exec(path)?.[1] ?? randomUUID());
  const closed = Promise.withResolvers<[number, string]>();
  const { socket, status, body } = await api.connect(path, {
    protocol: "mags-exec.v1",
    prepare(opening) {
      opening.on("close", (code, reason) => closed.resolve([code, reason.toString()]));
      opening.on("message", (data: Buffer, isBinary) => {
        if (!isBinary) return void messages.push(JSON.parse(data.toString()));
        const piece = data.subarray(9);
        if (!client?.discards) output[data[0] === 2 ? "stderr" : "stdout"].push(piece);
        bytes += piece.length;
        if (client?.acknowledges) client.send({ type: "ack", offset: Number(data.readBigUInt64LE(1)) + piece.length });
      });
    },
  });
  if (status !== 101) throw new Error(`${path} answered ${status}: ${JSON.stringify(body)}`);
  const opened: ExecTestClient = {
    execId,
    socket,
    acknowledges: false,
    discards: false,
    get bytes() {
      return bytes;
    },
    output: (source) => Buffer.concat(output[source]),
    ended: () => messages.some(({ type }) => type === "end"),
    text: (source) => Buffer.concat(output[source]).toString(),
    send: (message) => socket.send(JSON.stringify(message)),
    input(offset, text) {
      const header = Buffer.alloc(9);
      header.writeBigUInt64LE(BigInt(offset), 1);
      socket.send(Buffer.concat([header, Buffer.from(text)]));
    },
    message: (type, deadlineMs = 10_000) =>
      waitFor(() => messages.find((message) => message.type === type), {
        what: `the message ${type}`,
        deadlineMs,
      }) as ReturnType<typeof opened.message<typeof type>>,
    closed: closed.promise,
  };
  client = opened;
  if (start) opened.send({ type: "start", exec_id: execId, ...start });
  return opened;
}

/** The streamed exec of a scripted API: commands are processes of this machine. Breaks connections when told to. */
import { randomUUID } from "node:crypto";
import type { IncomingMessage } from "node:http";
import { constants } from "node:os";
import type { Duplex } from "node:stream";
import type { AccountId, ExecAttachment, ExecId, ExecStart, JobId } from "@mags/domain";
import { createSimulatedExecs } from "@mags/test-kit";
import { type WebSocket, WebSocketServer } from "ws";

const ACCOUNT = randomUUID() as AccountId;
const GUEST = randomUUID() as JobId;

export interface ScriptedExecs {
  readonly started: readonly ExecStart[];
  readonly resizes: readonly { readonly rows: number; readonly cols: number }[];
  /** After how many bytes of output the n-th connection (from 0) is cut. */
  cutAfter: (connection: number) => number | undefined;
  /** Cuts the n-th connection when it has got its start message, before it hears of it. */
  cutStart: (connection: number) => boolean;
  /** The n-th connection is cut likewise, and its start is carried out right before the next one's. */
  lateStart: (connection: number) => boolean;
  readonly connections: number;
  /** @param execId  Null: a start is awaited. */
  serve(request: IncomingMessage, socket: Duplex, head: Buffer, execId: string | null): void;
  close(): void;
}

export function createScriptedExecs(): ScriptedExecs {
  const execs = createSimulatedExecs({ awaken: () => {} });
  const server = new WebSocketServer({ noServer: true });
  let connections = 0;
  let late: ExecStart | undefined;

  async function converse(socket: WebSocket, number: number, attachment: ExecAttachment): Promise<void> {
    const send = (message: object) => socket.readyState === socket.OPEN && socket.send(JSON.stringify(message));
    socket.on("close", () => attachment.detach());
    attachment.onInputTaken((offset) => send({ type: "stdin_ack", offset }));
    socket.on("message", (data: Buffer, isBinary) => {
      if (isBinary) return attachment.write({ offset: Number(data.readBigUInt64LE(1)), bytes: data.subarray(9) });
      const message = JSON.parse(data.toString());
      if (message.type === "stdin_end") attachment.endInput(message.offset);
      if (message.type === "resize") attachment.resize(message);
      if (message.type === "signal") attachment.signal(constants.signals[message.signal as NodeJS.Signals]);
      if (message.type === "hangup") attachment.hangUp();
      if (message.type === "done") attachment.forget();
      if (message.type === "done" || message.type === "hangup") socket.close(1000);
    });
    const { inputOffset: stdin_offset, inputTaken: stdin_taken, execId: exec_id } = attachment;
    send({ type: "started", exec_id, stdin_offset, stdin_taken, stdin_window: 512 * 1024 });
    let left = api.cutAfter(number) ?? Number.POSITIVE_INFINITY;
    for (let outputs = await attachment.read(); outputs.length > 0; outputs = await attachment.read())
      for (const { source, offset, bytes } of outputs) {
        const piece = bytes.subarray(0, left);
        const header = Buffer.alloc(9);
        header.writeUInt8(source === "stderr" ? 2 : 1);
        header.writeBigUInt64LE(BigInt(offset), 1);
        if (piece.length > 0) socket.send(Buffer.concat([header, piece]));
        left -= piece.length;
        if (left <= 0) return socket.terminate();
      }
    const { end } = attachment;
    const name = Object.entries(constants.signals).find(([, signo]) => signo === end?.signal)?.[0] ?? null;
    send({ type: "end", exit_code: end?.exitCode, signal: name, timed_out: end?.timedOut, reason: end?.lost });
  }

  function refuse(
    socket: WebSocket,
    error: { readonly message: string; readonly code?: string; readonly status?: number },
  ) {
    socket.send(JSON.stringify({ type: "error", error: error.message, code: error.code }));
    socket.close(4000 + (error.status ?? 500));
  }

  const api: ScriptedExecs = {
    started: execs.started,
    resizes: execs.resizes,
    cutAfter: () => undefined,
    cutStart: () => false,
    lateStart: () => false,
    get connections() {
      return connections;
    },
    serve(request, duplex, head, execId) {
      const number = connections++;
      const offset = Number(new URL(request.url ?? "/", "http://api").searchParams.get("offset") ?? 0);
      if (execId !== null) {
        execs.attachExec(execId as ExecId, { accountId: ACCOUNT, offset }).then(
          (attachment) =>
            server.handleUpgrade(request, duplex, head, (socket) => {
              converse(socket, number, attachment).catch(() => {});
            }),
          ({ message, code }) => {
            const body = JSON.stringify({ error: message, code });
            duplex.end(`HTTP/1.1 404 Not Found\r\nContent-Length: ${Buffer.byteLength(body)}\r\n\r\n${body}`);
          },
        );
        return;
      }
      server.handleUpgrade(request, duplex, head, (socket) => {
        socket.once("message", (data: Buffer) => {
          const { exec_id, command, tty, stdin, environment, cwd, timeout } = JSON.parse(data.toString());
          if (api.cutStart(number)) return socket.terminate();
          const start: ExecStart = {
            ...{ execId: exec_id, guest: GUEST, accountId: ACCOUNT, command: command ?? null, terminal: tty ?? null },
            ...{ stdin, environment: environment ?? {}, cwd: cwd ?? null },
            timeoutMs: timeout === undefined ? null : timeout * 1000,
            leavesGroup: false,
            endsWithClient: false,
          };
          if (api.lateStart(number)) {
            late = start;
            return socket.terminate();
          }
          if (late) void execs.startExec(late).then((attachment) => attachment.detach());
          late = undefined;
          execs.startExec(start).then(
            (attachment) => converse(socket, number, attachment).catch(() => {}),
            (error) => refuse(socket, error),
          );
        });
      });
    },
    close: () => execs.endAll(),
  };
  return api;
}

/** A client of the streamed exec that looks at nothing but numbers. The messages are those of docs/formats/exec-stream.md. */
import { randomUUID } from "node:crypto";
import type { TestServer } from "@mags/e2e/harness";

export interface StreamedCommand {
  /** The server has started it. */
  readonly started: Promise<void>;
  /** Its exit code. */
  readonly ended: Promise<number>;
  /** Bytes of output so far. */
  readonly received: () => number;
  /** Closes the connection for good: what still runs is hung up. */
  close(): void;
}

const HEADER_BYTES = 9;
const ACK_BYTES = 256 * 1024;
const piece = Buffer.alloc(63 * 1024, "streamed exec\n");

/** @param inputBytes  Sent as input, as fast as the command takes it. */
export async function openStreamedCommand(
  server: Pick<TestServer, "api">,
  job: string,
  { command, inputBytes = 0 }: { readonly command: string; readonly inputBytes?: number },
): Promise<StreamedCommand> {
  const started = Promise.withResolvers<void>();
  const ended = Promise.withResolvers<number>();
  ended.promise.catch(() => {}); // who closes it does not wait
  let received = 0;
  let acknowledged = 0;
  let sent = 0;
  let window = 0;

  function sendInput(takenOffset: number): void {
    while (sent < inputBytes && sent < takenOffset + window) {
      const bytes = piece.subarray(0, Math.min(inputBytes, takenOffset + window) - sent);
      const message = Buffer.allocUnsafe(HEADER_BYTES + bytes.length);
      message[0] = 0;
      message.writeBigUInt64LE(BigInt(sent), 1);
      bytes.copy(message, HEADER_BYTES);
      socket.send(message);
      sent += bytes.length;
      if (sent === inputBytes) socket.send(JSON.stringify({ type: "stdin_end", offset: sent }));
    }
  }

  function onText(text: string): void {
    const message = JSON.parse(text);
    if (message.type === "started") {
      window = message.stdin_window;
      started.resolve();
      sendInput(0);
    } else if (message.type === "stdin_ack") sendInput(message.offset);
    else if (message.type === "end") {
      socket.send('{"type":"done"}');
      ended.resolve(message.exit_code);
    } else if (message.type === "error") {
      started.reject(new Error(message.error));
      ended.reject(new Error(message.error));
    }
  }

  function onOutput(bytes: number): void {
    received += bytes;
    if (received - acknowledged < ACK_BYTES) return;
    acknowledged = received;
    socket.send(JSON.stringify({ type: "ack", offset: received }));
  }

  const { socket, status, body } = await server.api.connect(`/api/v1/mags-jobs/${job}/exec`, {
    protocol: "mags-exec.v1",
    prepare: (opening) =>
      void opening
        .on("message", (data: Buffer, isBinary) =>
          isBinary ? onOutput(data.length - HEADER_BYTES) : onText(data.toString()),
        )
        .on("close", () => ended.reject(new Error("the connection was closed before the end of the command"))),
  });
  if (status !== 101) throw new Error(`exec answered ${status}: ${JSON.stringify(body)}`);
  socket.send(JSON.stringify({ type: "start", exec_id: randomUUID(), command, stdin: inputBytes > 0 }));
  return {
    started: started.promise,
    ended: ended.promise,
    received: () => received,
    close: () => socket.send('{"type":"hangup"}'),
  };
}

/** The other end of a QMP socket, which says what a test tells it to. One client at a time, as QEMU. */
import { createServer, type Socket } from "node:net";
import { join } from "node:path";
import { makeTempDir } from "@mags/test-kit";
import { createLineSplitter } from "../../src/qemu/line-splitter.ts";

export interface Command {
  readonly execute: string;
  readonly id: number;
}

export interface FakeQemu extends AsyncDisposable {
  readonly path: string;
  /** What happens when a client connects, and with each of its commands. */
  serve(client: { readonly onConnect: () => void; readonly onCommand: (command: Command) => void }): void;
  write(text: string | Buffer): void;
}

export const GREETING = {
  QMP: { version: { qemu: { micro: 0, minor: 0, major: 10 }, package: "" }, capabilities: [] },
};

export function line(message: unknown): string {
  return `${JSON.stringify(message)}\r\n`;
}

/** What an honest QEMU answers. */
export function honestAnswer({ execute, id }: Command): string {
  const values: Readonly<Record<string, unknown>> = {
    "query-status": { status: "paused", running: false },
    "query-migrate": { status: "completed" },
    "ringbuf-read": Buffer.from("console\n").toString("base64"),
  };
  return line({ return: values[execute] ?? {}, id });
}

/** @param at  Where its socket is to be. Default: in a directory of its own. */
export async function startFakeQemu(at?: string): Promise<FakeQemu> {
  const directory = await makeTempDir();
  const path = at ?? join(directory.path, "qmp.sock");
  let client: Parameters<FakeQemu["serve"]>[0] | undefined;
  let connected: Socket | undefined;
  const server = createServer((socket) => {
    connected?.destroy();
    connected = socket;
    socket.on("error", () => {});
    const lines = createLineSplitter(1024 * 1024);
    socket.on("data", (chunk: Buffer) => {
      lines.push(chunk, (text) => {
        // Our own client sends commands, and lines without anything.
        if (connected === socket && text !== "") client?.onCommand(JSON.parse(text) as Command);
      });
    });
    client?.onConnect();
  });
  await new Promise<void>((resolve) => server.listen(path, resolve));
  return {
    path,
    serve(next) {
      client = next;
    },
    write: (text) => void connected?.write(text),
    async [Symbol.asyncDispose]() {
      connected?.destroy();
      await new Promise((resolve) => server.close(resolve));
      await directory[Symbol.asyncDispose]();
    },
  };
}

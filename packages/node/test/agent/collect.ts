import type { AgentConnection, OpenOptions, StreamEnd } from "../../src/agent/index.ts";

/** Opens a stream, writes `input` to it if there is some, and waits for its end. */
export async function collect(
  connection: AgentConnection,
  options: OpenOptions,
  input?: Uint8Array,
): Promise<{ readonly end: StreamEnd; readonly output: Buffer }> {
  const parts: Buffer[] = [];
  const stream = connection.open({ ...options, onRecord: ({ bytes }) => parts.push(bytes) });
  await stream.opened;
  if (input) {
    // A stream may fail before it has taken all: its end tells.
    await stream.write(input).catch(() => {});
    await stream.endInput().catch(() => {});
  }
  return { end: await stream.ended, output: Buffer.concat(parts) };
}

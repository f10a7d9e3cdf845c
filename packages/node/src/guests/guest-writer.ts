import { untilAborted } from "@mags/core";
import type { ToGuest } from "@mags/domain";
import type { AgentConnection, KindOptions, StreamEnd } from "../agent/index.ts";
import { streamFailure } from "./file-errors.ts";

/** Most of the bytes of a source that are handed over at a time: one piece may be as large as it likes. */
const PIECE_BYTES = 256 * 1024;

/**
 * Writes all of a source to a stream of a guest, no faster than the guest takes it. Resolves when the guest says that it
 * is done; when this rejects, the guest was told to give up.
 */
export async function writeAll(
  agent: AgentConnection,
  options: KindOptions,
  source: ToGuest,
  { signal }: { readonly signal: AbortSignal },
): Promise<StreamEnd> {
  const stream = agent.open(options, { signal });
  /** How the guest ended it; nothing while it has not. */
  let ended: StreamEnd | undefined;
  stream.ended.then(
    (end) => {
      ended = end;
    },
    () => {},
  );
  try {
    await untilAborted(stream.opened, signal);
    for await (const piece of source)
      for (let at = 0; at < piece.length; at += PIECE_BYTES)
        await untilAborted(stream.write(piece.subarray(at, at + PIECE_BYTES)), signal);
    await untilAborted(stream.endInput(), signal);
    const end = await untilAborted(stream.ended, signal);
    if (end.failure) throw streamFailure(end.failure);
    return end;
  } catch (error) {
    // Writing fails when the guest has ended the stream: why it did is the reason.
    await Promise.resolve();
    throw ended?.failure ? streamFailure(ended.failure) : error;
  } finally {
    stream.close();
  }
}

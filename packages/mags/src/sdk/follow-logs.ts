import { clientError, MagsError } from "./errors.ts";
import { networkError } from "./network-error.ts";
import { isPassing, pauseBeforeRetry } from "./reconnect.ts";
import { createEventParser, type ServerSentEvent } from "./server-sent-events.ts";
import type { Transport } from "./transport.ts";
import type { JobStatus, LogEntry } from "./wire.generated.ts";

export interface FollowOptions {
  /** Include platform events. */
  readonly system?: boolean | undefined;
  /**
   * `utf8` (the default): an entry is a line. `base64`: an entry is a piece of output exactly as the script wrote it,
   * its `message` in base64, sent at once.
   */
  readonly encoding?: "utf8" | "base64" | undefined;
  /** How long a lost connection is tried again, in ms. Default: 60000. */
  readonly reconnectTimeout?: number | undefined;
  /** Called at each failed try to make a lost connection again, once it has been away for half a second. */
  readonly onConnectionLost?: ((error: MagsError) => void) | undefined;
  readonly signal?: AbortSignal | undefined;
}

const DEFAULT_RECONNECT_TIMEOUT_MS = 60_000;

/** The server sends a comment every 15 s; a connection that stays silent for three of them is dead. */
const SILENCE_LIMIT_MS = 45_000;

/** What is mended sooner is not worth a remark. */
const NOTICE_AFTER_MS = 500;

/**
 * Yields the output of a job from its beginning and, in the end, returns the status of the job. A connection that
 * breaks is made again and goes on after the last entry that arrived whole, so none is lost and none comes twice.
 *
 * @param requestId  The id, not a name: a name could mean another job after a reconnect.
 * @throws MagsError `connection_lost` when the server does not come back in time, `unexpected_reply` when it has no
 *   event streams; the signal's reason when aborted.
 */
export async function* followLogs(
  transport: Transport,
  requestId: string,
  options: FollowOptions = {},
): AsyncGenerator<LogEntry, JobStatus, void> {
  const { signal, reconnectTimeout = DEFAULT_RECONNECT_TIMEOUT_MS, onConnectionLost } = options;
  let lastEventId = "";
  let lostAtMs: number | undefined;
  let failures = 0;

  for (;;) {
    let lost: MagsError;
    try {
      for await (const event of connect(lastEventId)) {
        heard();
        if (event.event === "end") return parse<JobStatus>(event.data, transport.apiUrl);
        if (event.id !== "") lastEventId = event.id;
        if (event.event === "log") yield parse<LogEntry>(event.data, transport.apiUrl);
      }
      lost = clientError("unreachable", `the connection to ${transport.apiUrl} ended early`);
    } catch (error) {
      if (!isPassing(error)) throw error;
      lost = error;
    }
    lostAtMs ??= performance.now();
    const awayMs = performance.now() - lostAtMs;
    if (awayMs >= reconnectTimeout)
      throw clientError(
        "connection_lost",
        `lost the connection to ${transport.apiUrl} and could not go on for ${reconnectTimeout / 1000} s: ${lost.message}`,
        lost,
      );
    if (awayMs >= NOTICE_AFTER_MS) onConnectionLost?.(lost);
    await pauseBeforeRetry(failures++, signal);
  }

  /** Only what the server sends in a stream shows that it goes on: a head alone may come from a proxy that cuts it off. */
  function heard(): void {
    lostAtMs = undefined;
    failures = 0;
  }

  async function* connect(after: string): AsyncGenerator<ServerSentEvent, void, void> {
    const reply = await transport.open({
      method: "GET",
      path: `/mags-jobs/${encodeURIComponent(requestId)}/logs`,
      query: { follow: 1, encoding: options.encoding, system: options.system ? 1 : undefined },
      headers: { accept: "text/event-stream", ...(after !== "" && { "last-event-id": after }) },
      signal,
    });
    try {
      if (!reply.headers["content-type"]?.startsWith("text/event-stream"))
        throw clientError("unexpected_reply", `${transport.apiUrl} does not offer to follow the output of a job`);
      const parser = createEventParser(heard);
      const chunks = reply[Symbol.asyncIterator]() as AsyncIterator<Uint8Array>;
      for (;;) {
        const next = await withSilenceLimit(chunks.next(), () => reply.destroy());
        if (next.done) return;
        yield* parser.push(next.value);
      }
    } catch (error) {
      if (signal?.aborted) throw signal.reason;
      throw error instanceof MagsError ? error : networkError(error, transport.apiUrl);
    } finally {
      reply.destroy();
    }
  }
}

/** Calls `giveUp` when the promise takes too long. Not a socket time-out: a reader that is slow itself is no silence. */
async function withSilenceLimit<T>(promise: Promise<T>, giveUp: () => void): Promise<T> {
  const timer = setTimeout(giveUp, SILENCE_LIMIT_MS);
  try {
    return await promise;
  } finally {
    clearTimeout(timer);
  }
}

function parse<T>(data: string, apiUrl: string): T {
  try {
    return JSON.parse(data) as T;
  } catch (error) {
    throw clientError("unexpected_reply", `the event stream of ${apiUrl} is not that of a Mags server`, error);
  }
}

/** Notes for the audit log on their way to the server. They wait while it is away, and are then sent in order. */
import { isAppError, type Logger, messageOf, sleep } from "@mags/core";
import type { SshNote } from "@mags/domain";
import { z } from "zod";
import type { Link } from "./link.ts";
import { clipped, Note } from "./messages.ts";
import { MOST_NOTES } from "./protocol.ts";

const MOST_WAITING = 10_000;
/** From here on a note says how late it came. */
const LATE_MS = 1_000;
const PAUSE_MS = 200;

export interface NoteQueue {
  add(note: SshNote): void;
  /** Resolves when all that were added have been taken by the server. */
  sent(): Promise<void>;
}

interface Waiting {
  readonly note: SshNote;
  readonly atMs: number;
}

/** A note whose receipt was not heard of, because the connection was lost then, is sent again. */
export function createNoteQueue(
  link: Link,
  { log, signal }: { readonly log: Logger; readonly signal: AbortSignal },
): NoteQueue {
  const waiting: Waiting[] = [];
  let sending: Promise<void> | undefined;
  let dropped = 0;

  async function send(): Promise<void> {
    while (waiting.length > 0) {
      await link.connected({ signal });
      const some = waiting.slice(0, MOST_NOTES);
      try {
        await link.ask("note", some.map(toWire), { signal });
      } catch (error) {
        if (isAppError(error, "unavailable") || isAppError(error, "too_many_requests")) {
          await sleep(PAUSE_MS, { signal });
          continue;
        }
        log.error("upstream.notes_refused", { count: some.length, error: messageOf(error) });
      }
      waiting.splice(0, some.length);
      if (dropped > 0) log.error("upstream.notes_dropped", { count: dropped });
      dropped = 0;
    }
  }

  return {
    add(note) {
      if (waiting.length >= MOST_WAITING) dropped++;
      else waiting.push({ note, atMs: performance.now() });
      sending ??= send()
        .catch(() => {}) // it is ending
        .finally(() => {
          sending = undefined;
        });
    },
    sent: async () => sending,
  };
}

function toWire({ note, atMs }: Waiting): z.input<typeof Note> {
  const lateMs = Math.round(performance.now() - atMs);
  const data = Object.entries({ ...note.data, ...(lateMs >= LATE_MS && { late_ms: lateMs }) });
  return z.encode(Note, {
    ...note,
    login: clipped(note.login),
    user: note.user && { ...note.user, refusal: null }, // it is for him
    data: Object.fromEntries(data.map(([name, value]) => [name, typeof value === "string" ? clipped(value) : value])),
  });
}

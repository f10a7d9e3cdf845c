/** Notes for the audit log on their way to the server. */
import type { SshNote } from "@mags/domain";
import { z } from "zod";
import { clipped, Note } from "./messages.ts";
import type { OutboxOptions } from "./outbox.ts";
import { MOST_NOTES } from "./protocol.ts";

/** From here on a note says how late it came. */
const LATE_MS = 1_000;

export const NOTES: OutboxOptions<SshNote> = {
  ...{ call: "note", mostAtOnce: MOST_NOTES, mostWaiting: 10_000, event: "upstream.notes" },
  toWire(note, { lateMs }) {
    const data = Object.entries({ ...note.data, ...(lateMs >= LATE_MS && { late_ms: lateMs }) });
    return z.encode(Note, {
      ...note,
      login: clipped(note.login),
      user: note.user && { ...note.user, refusal: null }, // it is for him
      data: Object.fromEntries(data.map(([name, value]) => [name, typeof value === "string" ? clipped(value) : value])),
    });
  },
};

/**
 * Writes down who did what: sign-ins, sessions, keys, tokens. Whoever tells it something never waits. Entries wait in
 * memory for the database, in a bounded number; what does not fit is counted, and an entry says how many are missing.
 */
import { randomUUID } from "node:crypto";
import { type Clock, type Logger, messageOf, withDeadline } from "@mags/core";
import { type AuditEntry, shortened } from "./audit-entry.ts";
import type { AuditStore, NewAuditRecord } from "./audit-store.ts";
import { persistently } from "./persistently.ts";
import { createRefusalCounter } from "./refusal-counter.ts";

const FLUSH_MS = 250;
const MOST_WAITING = 10_000;
const BATCH = 500;

export interface AuditLog {
  /** Never throws, never waits: the entry is stored some 250 ms later. It is lost when the process is killed before. */
  note(entry: AuditEntry): void;
  /** Stores what waits, for at most `deadlineMs`. What is told afterwards is dropped. */
  close(options: { readonly deadlineMs: number }): Promise<void>;
}

export function createAuditLog(
  deps: { readonly store: Pick<AuditStore, "add">; readonly clock: Clock; readonly log: Logger },
  options: { readonly mostWaiting?: number } = {},
): AuditLog {
  const { store, clock, log } = deps;
  const mostWaiting = options.mostWaiting ?? MOST_WAITING;
  const closing = new AbortController();
  const refusals = createRefusalCounter();
  const waiting: NewAuditRecord[] = [];
  let lost = 0;
  let timer: NodeJS.Timeout | undefined;
  let writing: Promise<void> | null = null;
  let closed = false;

  function put(entry: AuditEntry): void {
    if (waiting.length >= mostWaiting) lost++;
    else waiting.push({ ...shortened(entry), noteId: randomUUID(), at: clock.now() });
  }

  /** False: it is told with others like it. */
  function isAdmitted({ action, accountId, clientAddress: address, data }: AuditEntry): boolean {
    if (action !== "ssh_refused" || accountId !== null) return true;
    const attempts = typeof data.attempts === "number" ? data.attempts : 1;
    return refusals.admit({ address, attempts }, clock.monotonicMs());
  }

  function putCounted({ now }: { readonly now: boolean }): void {
    for (const { address, attempts } of refusals.take(clock.monotonicMs(), { now }))
      put({ action: "ssh_refused", accountId: null, target: null, clientAddress: address, data: { attempts } });
  }

  function putLost(): void {
    if (lost === 0 || waiting.length >= mostWaiting) return;
    const data = { entries: lost };
    lost = 0;
    put({ action: "entries_lost", accountId: null, target: null, clientAddress: null, data });
  }

  async function writeAll(signal: AbortSignal): Promise<void> {
    while (waiting.length > 0) {
      const batch = waiting.slice(0, BATCH);
      const refused = await storeMost(batch, signal);
      waiting.splice(0, batch.length);
      lost += refused;
      if (refused < batch.length) putLost();
    }
  }

  /** Returns how many the database refuses for what they are: the others of a batch with such a one are stored. */
  async function storeMost(batch: readonly NewAuditRecord[], signal: AbortSignal): Promise<number> {
    try {
      await persistently(() => store.add(batch), { signal });
      return 0;
    } catch (error) {
      signal.throwIfAborted();
      if (batch.length > 1) {
        const half = batch.length >> 1;
        return (await storeMost(batch.slice(0, half), signal)) + (await storeMost(batch.slice(half), signal));
      }
      log.error("audit.not_stored", { action: batch[0]?.action, error: messageOf(error) });
      return 1;
    }
  }

  function write(): Promise<void> {
    writing ??= writeAll(closing.signal).finally(() => {
      writing = null;
    });
    return writing;
  }

  function soon(): void {
    timer ??= setTimeout(flush, FLUSH_MS).unref();
  }

  function flush(): void {
    timer = undefined;
    putCounted({ now: false });
    write().catch(() => {
      // It was closed meanwhile, which says what was given up.
    });
    if (refusals.active) soon();
  }

  return {
    note(entry) {
      if (closed) return;
      soon();
      if (isAdmitted(entry)) put(entry);
    },
    async close({ deadlineMs }) {
      closed = true;
      clearTimeout(timer);
      putCounted({ now: true });
      const all = async () => {
        while (waiting.length > 0) await write();
      };
      await withDeadline(all(), deadlineMs, () => new Error("the database does not take them"))
        .catch((error: unknown) => {
          log.warn("audit.given_up", { entries: waiting.length + lost, error: messageOf(error) });
        })
        .finally(() => closing.abort());
    },
  };
}

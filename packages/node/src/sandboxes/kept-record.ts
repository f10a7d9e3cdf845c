import { createGate } from "@mags/core";
import type { SandboxRecord, SandboxStore } from "./sandbox-record.ts";

/** A sandbox's record in memory and on disk: one change at a time, durable before it is seen. */
export interface KeptRecord {
  readonly now: SandboxRecord;
  change(changes: (now: SandboxRecord) => Partial<SandboxRecord>): Promise<void>;
  /** Writes nothing more: the sandbox is being removed. */
  close(): void;
}

export function keepRecord(store: SandboxStore, first: SandboxRecord): KeptRecord {
  const writing = createGate(1);
  let record = first;
  let closed = false;
  return {
    get now() {
      return record;
    },
    async change(changes) {
      const leave = await writing.enter();
      try {
        if (closed) return;
        const next = { ...record, ...changes(record) };
        await store.write(next);
        record = next;
      } finally {
        leave();
      }
    },
    close() {
      closed = true;
    },
  };
}

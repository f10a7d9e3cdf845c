/** Shares the bulk port between streams that have something to send: one record each in turn. */
import { encodeData } from "./data.ts";
import type { Port } from "./port.ts";
import type { Sender } from "./sender.ts";

export interface BulkPump {
  /** This stream may have something to send. */
  nudge(id: number, sender: Sender): void;
  /** Goes on after the port was congested. */
  run(): void;
  forget(id: number): void;
}

export function createBulkPump(port: () => Port): BulkPump {
  const ready = new Map<number, Sender>();

  function run(): void {
    while (!port().congested) {
      const [first] = ready;
      if (!first) return;
      const [id, sender] = first;
      ready.delete(id);
      const record = sender.next();
      if (!record) continue;
      ready.set(id, sender); // behind the others
      port().sendAll(encodeData(id, record.header, record.bytes));
    }
  }

  return {
    nudge(id, sender) {
      ready.set(id, sender);
      run();
    },
    run,
    forget(id) {
      ready.delete(id);
    },
  };
}

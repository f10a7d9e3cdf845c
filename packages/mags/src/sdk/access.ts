/** Ports of a VM that are reached from outside. */
import { setTimeout as delay } from "node:timers/promises";
import { MagsError } from "./errors.ts";
import { jobPath } from "./job-path.ts";
import type { Transport } from "./transport.ts";
import type { Access } from "./wire.generated.ts";

export interface AccessOptions {
  /** Of the VM; 22: SSH. Default: 8080. */
  readonly port?: number | undefined;
  /** Whether only links open the URL. Default: as it was, at first public. */
  readonly private?: boolean | undefined;
}

const DEFAULT_PORT = 8080;
/** A VM wakes before the answer. */
const WAKE_MS = 120_000;
const NO_VM_PAUSE_MS = 200;

export async function enableAccess(
  transport: Transport,
  nameOrId: string,
  { port = DEFAULT_PORT, private: isPrivate, patienceMs }: AccessOptions & { readonly patienceMs: number },
): Promise<Access> {
  const path = jobPath(nameOrId, "/access");
  const body = { port, ...(isPrivate !== undefined && { private: isPrivate }) };
  const startedAt = performance.now();
  for (;;) {
    try {
      return await transport.json<Access>({ method: "POST", path, body, timeoutMs: WAKE_MS });
    } catch (error) {
      const waits = error instanceof MagsError && error.code === "no_vm";
      if (!waits || performance.now() - startedAt + NO_VM_PAUSE_MS > patienceMs) throw error;
      await delay(NO_VM_PAUSE_MS);
    }
  }
}

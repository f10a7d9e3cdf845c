/** Connecting to the agent of a guest, and giving it an identity. */
import { randomBytes, randomFillSync } from "node:crypto";
import { type Clock, type Logger, sleep } from "@mags/core";
import { type AgentConnection, connectAgent } from "../agent/index.ts";
import { dialUnix } from "../qemu/qmp.ts";
import type { MicroVm } from "./microvm-host.ts";

export const GUEST_HOSTNAME = "mags-vm";
const CONNECT_DEADLINE_MS = 10_000;
const CLOSED_PATIENCE_MS = 250;
const ENTROPY_BYTES = 64;

/**
 * The guest must run, or be resumed within the deadline. A guest that breaks the protocol, or whose agent is gone while its
 * QEMU lives, is declared lost.
 */
export async function connectGuest(
  microVm: MicroVm,
  deps: { readonly log: Logger },
  deadlineMs = CONNECT_DEADLINE_MS,
): Promise<AgentConnection> {
  const signal = AbortSignal.timeout(deadlineMs);
  const [control, bulk] = await Promise.all([
    dialUnix(microVm.paths.controlSocket, { signal }),
    dialUnix(microVm.paths.bulkSocket, { signal }),
  ]);
  const agent = await connectAgent(
    {
      control,
      bulk,
      random: randomBytes,
      log: deps.log,
      onViolation: (reason) => microVm.declareLost(`its guest agent broke the protocol: ${reason}`),
    },
    { signal },
  );
  void agent.closed.then(async (reason) => {
    // When QEMU itself ended, that is the better reason, and it is on its way.
    await sleep(CLOSED_PATIENCE_MS);
    microVm.declareLost(`the connection to its guest agent ended: ${reason}`);
  });
  return agent;
}

/** A fresh identity: without it two clones of a template would draw the same random numbers. */
export function freshIdentity(clock: Clock) {
  return {
    realtimeNs: BigInt(clock.now().getTime()) * 1_000_000n,
    entropy: randomFillSync(Buffer.alloc(ENTROPY_BYTES)),
    hostname: GUEST_HOSTNAME,
    machineId: machineId(),
  };
}

/** 128 random bits in the form of a version 4 UUID, as systemd makes them. */
function machineId(): Buffer {
  const id = randomBytes(16);
  id.writeUInt8((id.readUInt8(6) & 0x0f) | 0x40, 6);
  id.writeUInt8((id.readUInt8(8) & 0x3f) | 0x80, 8);
  return id;
}

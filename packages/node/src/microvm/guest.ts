/** Connecting to the agent of a guest, and giving it an identity. */
import { randomBytes, randomFillSync } from "node:crypto";
import { AppError, type Clock, type Logger, messageOf, sleep } from "@mags/core";
import { type AgentConnection, type AgentTransport, connectAgent, openAgentConnection } from "../agent/index.ts";
import { dialUnix } from "../qemu/dial-unix.ts";
import type { MicroVm } from "./microvm-host.ts";

export const GUEST_HOSTNAME = "mags-vm";
const CONNECT_DEADLINE_MS = 15_000;
const FIRST_ATTEMPT_MS = 500;
const CLOSED_PATIENCE_MS = 250;
const ENTROPY_BYTES = 64;
const CLOCK_SLACK_MS = 25;
const CLOCK_TRIES = 20;

export interface ConnectOptions {
  /** Default 15 s. */
  readonly deadlineMs?: number;
  /** Default 0.5 s, and twice as long each time. */
  readonly firstAttemptMs?: number;
  /** Sends what is to follow right behind the greeting, in each attempt. */
  readonly first?: (agent: AgentConnection) => void;
}

/**
 * The guest must run, or be resumed within the deadline. A guest that breaks the protocol, or whose agent is gone while
 * its QEMU lives, is declared lost.
 *
 * Several attempts: when a guest writes to a port in the very moment in which the host's end of it closes, QEMU holds
 * that port back for ever, and only another closing of it, which an attempt that is given up is, sets it free.
 */
export async function connectGuest(
  microVm: MicroVm,
  deps: { readonly log: Logger },
  options: ConnectOptions = {},
): Promise<AgentConnection> {
  const { deadlineMs = CONNECT_DEADLINE_MS } = options;
  const deadline = AbortSignal.timeout(deadlineMs);
  for (let attemptMs = options.firstAttemptMs ?? FIRST_ATTEMPT_MS; ; attemptMs *= 2) {
    const attempt = AbortSignal.timeout(attemptMs);
    try {
      return await connectOnce(microVm, deps, { ...options, signal: AbortSignal.any([deadline, attempt]) });
    } catch (error) {
      if (deadline.aborted)
        throw new AppError("guest_failed", `the guest's agent did not answer within ${deadlineMs / 1000} s`, {
          cause: error,
        });
      if (!attempt.aborted) throw error;
      deps.log.info("guest.connecting_again", { microVmId: microVm.id, afterMs: attemptMs });
    }
  }
}

/** The same for a guest that stands still: the connection is `ready` when it goes on, however long that takes. */
export async function greetGuest(microVm: MicroVm, deps: { readonly log: Logger }): Promise<AgentConnection> {
  const agent = openAgentConnection(await dial(microVm, deps, AbortSignal.timeout(CONNECT_DEADLINE_MS)));
  watchOver(microVm, agent);
  return agent;
}

async function connectOnce(
  microVm: MicroVm,
  deps: { readonly log: Logger },
  { signal, first }: Pick<ConnectOptions, "first"> & { readonly signal: AbortSignal },
): Promise<AgentConnection> {
  const agent = await connectAgent(await dial(microVm, deps, signal), { signal, ...(first && { first }) });
  watchOver(microVm, agent);
  return agent;
}

async function dial(microVm: MicroVm, { log }: { readonly log: Logger }, signal: AbortSignal): Promise<AgentTransport> {
  const [control, bulk] = await Promise.all([
    dialUnix(microVm.paths.controlSocket, { signal }),
    dialUnix(microVm.paths.bulkSocket, { signal }),
  ]);
  return {
    control,
    bulk,
    random: randomBytes,
    log,
    onViolation: (reason) => microVm.declareLost(`its guest agent broke the protocol: ${reason}`),
  };
}

function watchOver(microVm: MicroVm, agent: AgentConnection): void {
  void agent.closed.then(async (reason) => {
    // When QEMU itself ended, that is the better reason, and it is on its way.
    await sleep(CLOSED_PATIENCE_MS);
    microVm.declareLost(`the connection to its guest agent ended: ${reason}`);
  });
}

/**
 * Gives a restored clone an identity of its own: without it two clones would draw the same random numbers. Sent at once; what is sent to
 * the agent afterwards runs after it.
 */
export async function giveIdentity(
  agent: AgentConnection,
  deps: { readonly clock: Clock; readonly log: Logger },
): Promise<void> {
  const { clock } = deps;
  const sentAtMs = clock.monotonicMs();
  await agent.ident({
    realtimeNs: realtimeNs(clock),
    entropy: randomFillSync(Buffer.alloc(ENTROPY_BYTES)),
    hostname: GUEST_HOSTNAME,
    machineId: machineId(),
  });
  correctLater(agent, deps, sentAtMs);
}

/** Gives a guest whose time stood still clock and entropy, ahead of what is sent to its agent afterwards. */
export function tellTime(agent: AgentConnection, deps: { readonly clock: Clock; readonly log: Logger }): void {
  const { clock, log } = deps;
  const sentAtMs = clock.monotonicMs();
  agent.awake({ realtimeNs: realtimeNs(clock), entropy: randomFillSync(Buffer.alloc(ENTROPY_BYTES)) }).then(
    () => correctLater(agent, deps, sentAtMs),
    (error: unknown) => log.warn("guest.time_not_told", { error: messageOf(error) }),
  );
}

function correctLater(
  agent: AgentConnection,
  { clock, log }: { readonly clock: Clock; readonly log: Logger },
  sentAtMs: number,
): void {
  if (clock.monotonicMs() - sentAtMs <= CLOCK_SLACK_MS) return;
  void correctClock(agent, clock).catch((error: unknown) =>
    log.info("guest.clock_not_set", { error: messageOf(error) }),
  );
}

/** The guest's clock lags by the time that the message with it was under way, so it is sent until it was quick. */
async function correctClock(agent: AgentConnection, clock: Clock): Promise<void> {
  for (let tries = 0; tries < CLOCK_TRIES; tries++) {
    const sentAtMs = clock.monotonicMs();
    await agent.setClock({ realtimeNs: realtimeNs(clock) });
    if (clock.monotonicMs() - sentAtMs <= CLOCK_SLACK_MS) return;
  }
}

function realtimeNs(clock: Clock): bigint {
  return BigInt(clock.now().getTime()) * 1_000_000n;
}

/** 128 random bits in the form of a version 4 UUID, as systemd makes them. */
function machineId(): Buffer {
  const id = randomBytes(16);
  id.writeUInt8((id.readUInt8(6) & 0x0f) | 0x40, 6);
  id.writeUInt8((id.readUInt8(8) & 0x3f) | 0x80, 8);
  return id;
}

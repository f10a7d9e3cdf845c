/**
 * The guests that commands run in and whose files are read and written: microVMs of jobs, and sandboxes, which may
 * sleep. Whoever works in one asks here, and need not know which it is.
 */
import { AppError, untilAborted } from "@mags/core";
import type { GuestId, WakeReason } from "@mags/domain";
import type { AgentConnection } from "../agent/index.ts";

/** A guest that is awake and connected. */
export interface AwakeGuest {
  readonly id: GuestId;
  readonly agent: AgentConnection;
  /** Aborted with an AppError `microvm_lost` when its microVM is gone. */
  readonly gone: AbortSignal;
}

/** What a guest is to those who work in it. */
export interface GuestHandle {
  /**
   * Wakes the guest if need be and keeps it awake until `work` settles.
   * @throws AppError `job_not_running` when it is ending, or what a failed wake throws.
   */
  use<T>(
    reason: WakeReason,
    work: (guest: AwakeGuest) => Promise<T>,
    options: { readonly signal: AbortSignal },
  ): Promise<T>;
  /** Somebody did something in it: it is not idle. */
  touch(): void;
}

/**
 * Owns streams that the agent keeps over the end of a connection. Their keys say whose they are: a job's is its id; of a
 * command, `exec:` and its id.
 */
export interface StreamOwner {
  /**
   * A guest is connected: at first, after a restart of the server, after a wake. Takes up its kept streams before it
   * returns (`agent.kept`, `agent.resume`); nobody's are closed afterwards.
   */
  connected(guest: AwakeGuest): void;
  /** The connection is given up on purpose: the guest sleeps now, with all that runs in it. */
  suspended(id: GuestId): void;
  /** Something to know of the guest, for people: it waits for room on the host's disk, say. */
  told(id: GuestId, text: string): void;
  /** Resolves when what was taken from the guest is on stable storage: a guest that sleeps outlives a power cut. */
  settle(id: GuestId): Promise<void>;
  /** The microVM has ended, and all that ran in it: `reason` is for people. The guest may come back from its disk. */
  ended(id: GuestId, reason: string): void;
}

export interface Guests {
  /** @throws AppError `job_not_running` when there is no such guest. */
  get(id: GuestId): GuestHandle;
  /**
   * Resolves when it is awake, without waking it, and is no use of it: it may fall asleep again at once.
   * @throws AppError `job_not_running` when there is no such guest; the signal's reason.
   */
  untilAwake(id: GuestId, options: { readonly signal: AbortSignal }): Promise<AwakeGuest>;
  add(id: GuestId, handle: GuestHandle): void;
  remove(id: GuestId): void;
  addOwner(owner: StreamOwner): void;
  /** Tells all owners, then closes what nobody took up. */
  connected(guest: AwakeGuest): void;
  suspended(id: GuestId): void;
  told(id: GuestId, text: string): void;
  settle(id: GuestId): Promise<void>;
  ended(id: GuestId, reason: string): void;
}

/** One that never sleeps. */
export function guestOf(guest: AwakeGuest): GuestHandle {
  return {
    use: (_reason, work) => work(guest),
    touch() {},
  };
}

export function createGuests(): Guests {
  const handles = new Map<GuestId, GuestHandle>();
  const owners: StreamOwner[] = [];
  const awake = new Map<GuestId, AwakeGuest>();
  let woken = Promise.withResolvers<void>();

  function get(id: GuestId): GuestHandle {
    const handle = handles.get(id);
    if (!handle) throw new AppError("job_not_running", `${id} is not running`);
    return handle;
  }

  return {
    get,
    async untilAwake(id, { signal }) {
      for (;;) {
        signal.throwIfAborted();
        get(id);
        const guest = awake.get(id);
        if (guest && !guest.gone.aborted) return guest;
        await untilAborted(woken.promise, signal);
      }
    },
    add: (id, handle) => void handles.set(id, handle),
    remove: (id) => void handles.delete(id),
    addOwner: (owner) => void owners.push(owner),
    connected(guest) {
      awake.set(guest.id, guest);
      woken.resolve();
      woken = Promise.withResolvers();
      for (const owner of owners) owner.connected(guest);
      for (const kept of guest.agent.kept) guest.agent.closeKept(kept); // of those that were not taken up
    },
    suspended(id) {
      awake.delete(id);
      for (const owner of owners) owner.suspended(id);
    },
    told(id, text) {
      for (const owner of owners) owner.told(id, text);
    },
    async settle(id) {
      await Promise.all(owners.map((owner) => owner.settle(id)));
    },
    ended(id, reason) {
      awake.delete(id);
      for (const owner of owners) owner.ended(id, reason);
    },
  };
}

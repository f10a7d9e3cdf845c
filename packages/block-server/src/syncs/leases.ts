/** The rights of this node to write workspaces: taken when one is written first, kept up until they are given back. */
import { type Clock, isAppError, type Logger, messageOf } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { acquireLease, type HeadVersion, type Lease, readHead, type WorkspaceKey } from "@mags/workspace-store";
import type { NamedKey } from "../calls.ts";
import type { Fitness } from "./fitness.ts";

type Signal = { readonly signal: AbortSignal };

type HeadNames = Pick<NamedKey, "name" | "forkedFrom">;

interface LeaseTaking extends Signal {
  /** For a workspace that is not there yet, or whose head is lost. */
  readonly create?: HeadNames;
  /** For one whose head is lost. */
  readonly anew?: HeadNames;
}

export interface Leases extends Disposable {
  /** What fails because another has the lease is not tried with it again. One call at a time for each workspace. */
  with<T>(key: WorkspaceKey, options: LeaseTaking, work: (lease: Lease) => Promise<T>): Promise<T>;
  /** As `with`; a lease that was taken for that is given back after it. */
  briefly<T>(key: WorkspaceKey, options: LeaseTaking, work: (lease: Lease) => Promise<T>): Promise<T>;
  release(key: WorkspaceKey, options: Signal): Promise<void>;
  /** Another has it now, or nobody ever will. */
  forget(key: WorkspaceKey): void;
  /**
   * Gives it back under a new generation: nothing that was begun under an earlier one can be written any more, also by a
   * request that is still on its way. A head that is lost is written anew. @returns the versions there are. @throws
   * AppError `workspace_not_found`.
   */
  settle(key: NamedKey, options: Signal): Promise<readonly HeadVersion[]>;
}

export interface LeasesDeps {
  readonly store: ObjectStore;
  readonly fitness: Fitness;
  /** Who holds them: this node. */
  readonly holder: string;
  readonly clock: Clock;
  readonly log: Logger;
}

const LEASE_MS = 10 * 60_000;
const RELEASE_MS = 10_000;

const headOf = ({ name, forkedFrom }: HeadNames) => ({ name, forked_from: forkedFrom });

export function createLeases({ store, fitness, holder, clock, log }: LeasesDeps): Leases {
  const leases = new Map<string, Lease>();
  const ending = new AbortController();
  const beingRenewed = new Set<Lease>();

  function drop(lease: Lease): void {
    if (leases.get(lease.workspace) === lease) leases.delete(lease.workspace);
  }

  async function withLease<T>(
    key: WorkspaceKey,
    { signal, create, anew }: LeaseTaking,
    work: (lease: Lease) => Promise<T>,
  ): Promise<T> {
    const held = leases.get(key.workspace);
    if (!held) await fitness({ signal });
    const lease =
      held ??
      (await acquireLease(store, key, {
        ...{ holder, ttlMs: LEASE_MS, clock, signal },
        ...(create && { create: headOf(create) }),
        ...(anew && { anew: headOf(anew) }),
      }));
    leases.set(key.workspace, lease);
    try {
      return await work(lease);
    } catch (error) {
      if (isAppError(error, "lease_lost")) drop(lease);
      throw error;
    }
  }

  async function release({ workspace }: WorkspaceKey, options: Signal): Promise<void> {
    const lease = leases.get(workspace);
    leases.delete(workspace);
    await lease?.release(options).catch((error: unknown) => {
      if (!isAppError(error, "lease_lost")) throw error;
    });
  }

  /** Beside whatever is written with it: its holder's writes of the head take turns, each on what the last one wrote. */
  async function renewOne(lease: Lease): Promise<void> {
    if (beingRenewed.has(lease) || lease.expiresAt.getTime() - clock.now().getTime() > LEASE_MS / 2) return;
    beingRenewed.add(lease);
    const signal = AbortSignal.any([AbortSignal.timeout(LEASE_MS / 4), ending.signal]);
    try {
      await lease.update((head) => head, { signal });
    } catch (error) {
      if (isAppError(error, "lease_lost")) drop(lease);
      const { workspace } = lease;
      if (!ending.signal.aborted) log.warn("blocks.lease_not_renewed", { workspace, error: messageOf(error) });
    } finally {
      beingRenewed.delete(lease);
    }
  }
  const renewing = setInterval(() => {
    for (const lease of leases.values()) void renewOne(lease);
  }, LEASE_MS / 10).unref();

  return {
    with: withLease,
    async briefly(key, options, work) {
      const wasHeld = leases.has(key.workspace);
      try {
        return await withLease(key, options, work);
      } finally {
        // Also when its caller has gone: what it began cannot be written after that.
        if (!wasHeld)
          await release(key, { signal: AbortSignal.timeout(RELEASE_MS) }).catch((error: unknown) =>
            log.warn("blocks.lease_not_released", { workspace: key.workspace, error: messageOf(error) }),
          );
      }
    },
    release,
    forget: ({ workspace }) => void leases.delete(workspace),
    async settle(key, options) {
      leases.delete(key.workspace);
      try {
        const anew = headOf(key);
        const lease = await acquireLease(store, key, { holder, ttlMs: LEASE_MS, anew, clock, ...options });
        await lease.release(options);
        return lease.head.versions;
      } catch (error) {
        if (!isAppError(error, "lease_held")) throw error;
        // What this node began cannot be written either, as another has the workspace.
        return (await readHead(store, key, options))?.head.versions ?? [];
      }
    },
    [Symbol.dispose]() {
      clearInterval(renewing);
      ending.abort(new Error("the block server ends"));
    },
  };
}

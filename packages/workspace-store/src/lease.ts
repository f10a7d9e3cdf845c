/**
 * The right to write a workspace: whoever put the head last, under the generation that stands in it. Every write has
 * the condition that the head is what this holder last wrote, so one that lost the right cannot write, whatever its
 * clock says. @see docs/formats/workspace-store.md
 */
import { AppError, type Clock, createGate, isAppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { decodeHead, encodeHead, type Head, type HeadDraft } from "./format/head.ts";
import { headKey, type WorkspaceKey } from "./keys.ts";
import { findVersions } from "./lost-head.ts";

export interface LeaseOptions {
  /** Who holds it: the id of a node. The same holder may take its own lease again, under a new generation. */
  readonly holder: string;
  readonly ttlMs: number;
  readonly clock: Clock;
  /** Take it although another holder's lease has not expired: it is known that this one can write no more. */
  readonly force?: boolean;
  /** For a workspace that is not there yet, or whose head is lost. */
  readonly create?: Pick<Head, "name" | "forked_from">;
  /** As `create`, and only where a head is lost: the store has versions of the workspace. */
  readonly anew?: Pick<Head, "name" | "forked_from">;
  readonly signal: AbortSignal;
}

export interface Lease extends WorkspaceKey {
  readonly holder: string;
  readonly generation: number;
  /** The head as it was last written. */
  readonly head: Head;
  /** When others may try to take it, by this holder's clock. */
  readonly expiresAt: Date;
  /**
   * Replaces the head, and prolongs the lease. Calls take turns.
   * @throws AppError `lease_lost` if another holder took it; the head is as that one wrote it.
   */
  update(change: (head: Head) => HeadDraft, options: { readonly signal: AbortSignal }): Promise<Head>;
  /** Gives the right back. Repeating it is harmless. */
  release(options: { readonly signal: AbortSignal }): Promise<void>;
}

/** Clocks of two holders may differ by this much without one taking what the other still believes to have. */
const CLOCK_MARGIN_MS = 30_000;
const ATTEMPTS = 5;

interface StoredHead {
  readonly head: Head;
  readonly etag: string;
}

/** @throws AppError `store_corrupt`. */
export async function readHead(
  store: ObjectStore,
  key: WorkspaceKey,
  { signal }: { readonly signal: AbortSignal },
): Promise<StoredHead | undefined> {
  try {
    const { bytes, etag } = await store.get(headKey(key), { signal });
    return { head: decodeHead(bytes, headKey(key)), etag };
  } catch (error) {
    if (isAppError(error, "object_not_found")) return undefined;
    throw error;
  }
}

/**
 * @throws AppError `lease_held` while another holder's lease has not expired, `workspace_not_found` if there is no
 *   such workspace and none is to be made.
 */
export async function acquireLease(store: ObjectStore, key: WorkspaceKey, options: LeaseOptions): Promise<Lease> {
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    const found = await readHead(store, key, options);
    const draft = found ? taken(found.head, options) : await created(store, key, options);
    const written = await tryPut(store, draft, { expected: found?.etag, signal: options.signal });
    if (written) return leaseOn(store, written, options);
  }
  throw new AppError("lease_held", `others were quicker to take workspace ${key.workspace}, ${ATTEMPTS} times`);
}

function taken(head: Head, options: LeaseOptions): HeadDraft {
  if (head.state === "deleted") throw new AppError("workspace_not_found", `workspace ${head.workspace} was deleted`);
  const { lease } = head;
  if (lease !== null && lease.holder !== options.holder && options.force !== true) {
    const expiresAt = Date.parse(lease.expires_at) + CLOCK_MARGIN_MS;
    if (options.clock.now().getTime() < expiresAt)
      throw new AppError(
        "lease_held",
        `${lease.holder} may write workspace ${head.workspace} until ${lease.expires_at}`,
      );
  }
  return { ...head, generation: head.generation + 1, lease: leaseOf(options) };
}

/** A head is written before the first version: where there are some it was lost, and lists them again. */
async function created(store: ObjectStore, key: WorkspaceKey, options: LeaseOptions): Promise<HeadDraft> {
  const { account, workspace } = key;
  const { create, anew = create } = options;
  const notFound = () => new AppError("workspace_not_found", `the store has no workspace ${workspace}`);
  if (anew === undefined) throw notFound();
  const { generation, versions, manifests } = await findVersions(store, key, options);
  if (create === undefined && manifests === 0) throw notFound();
  return {
    account,
    workspace,
    ...anew,
    state: "live",
    generation: generation + 1,
    lease: leaseOf(options),
    versions: [...versions],
  };
}

function leaseOf({ holder, ttlMs, clock }: LeaseOptions): NonNullable<Head["lease"]> {
  return { holder, expires_at: new Date(clock.now().getTime() + ttlMs).toISOString() };
}

/** Undefined when the head is not what was expected. A put whose reply was lost counts as what it was. */
async function tryPut(
  store: ObjectStore,
  draft: HeadDraft,
  { expected, signal }: { readonly expected: string | undefined; readonly signal: AbortSignal },
): Promise<StoredHead | undefined> {
  const { head, bytes } = encodeHead(draft);
  try {
    const { etag } = await store.put(
      headKey(head),
      bytes,
      expected === undefined ? { ifAbsent: true, signal } : { ifMatch: expected, signal },
    );
    return { head, etag };
  } catch (error) {
    if (!isAppError(error, "precondition_failed")) throw error;
    const now = await readHead(store, head, { signal });
    return now?.head.write_id === head.write_id ? now : undefined;
  }
}

function leaseOn(store: ObjectStore, first: StoredHead, options: LeaseOptions): Lease {
  let current = first;
  let given = false;
  const turns = createGate(1);
  const { account, workspace, generation } = first.head;

  async function write(
    change: (head: Head) => HeadDraft,
    { signal, last = false }: { readonly signal: AbortSignal; readonly last?: boolean },
  ): Promise<Head> {
    const leave = await turns.enter({ signal });
    try {
      if (given) throw new AppError("lease_lost", `the right to write workspace ${workspace} was given back`);
      const written = await tryPut(store, change(current.head), { expected: current.etag, signal });
      const settled = written ?? (await afterLostReply(change, signal));
      if (!settled) throw await lost(signal);
      current = settled;
      given = last;
      return settled.head;
    } finally {
      leave();
    }
  }

  /** A head of this generation is one that this holder wrote, and of which it was not told. */
  async function afterLostReply(
    change: (head: Head) => HeadDraft,
    signal: AbortSignal,
  ): Promise<StoredHead | undefined> {
    const now = await readHead(store, first.head, { signal });
    if (now?.head.generation !== generation || now.head.lease === null) return undefined;
    current = now;
    return await tryPut(store, change(now.head), { expected: now.etag, signal });
  }

  async function lost(signal: AbortSignal): Promise<AppError> {
    const now = await readHead(store, first.head, { signal });
    const what = now
      ? `${now.head.lease?.holder ?? "another holder"} took workspace ${workspace}`
      : `the head of workspace ${workspace} is not in the object store any more`;
    return new AppError("lease_lost", `${what}: nothing was published`, {
      details: { generation, now: now?.head.generation },
    });
  }

  return {
    account,
    workspace,
    holder: options.holder,
    generation,
    get head() {
      return current.head;
    },
    get expiresAt() {
      return new Date(current.head.lease?.expires_at ?? 0);
    },
    update: (change, { signal }) => write((head) => ({ ...change(head), lease: leaseOf(options) }), { signal }),
    async release({ signal }) {
      if (given) return;
      await write((head) => ({ ...head, lease: null }), { signal, last: true });
    },
  };
}

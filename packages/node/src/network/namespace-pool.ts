/**
 * Namespaces with their numbers. Making one takes tens of milliseconds, so some are made before they are asked for, when
 * no job waits. One that a microVM had is removed with it and never given to another.
 */
import type { Indexes } from "./indexes.ts";
import type { MicroVmNetwork, NetworkManager } from "./network-manager.ts";

export interface NamespacePool extends AsyncDisposable {
  /** One that nobody had. @throws AppError `capacity_exhausted` when all numbers are taken. */
  take(): Promise<MicroVmNetwork>;
  /** Removes a namespace and frees its number. */
  release(index: number): Promise<void>;
  /** For microVMs found at start. */
  reserve(index: number): void;
  /** Begins to keep namespaces ready. Not before those that an earlier process left were removed. */
  start(): void;
  /** Numbers of those that are ready or being made, and nobody's yet. */
  readonly prepared: readonly number[];
}

export interface NamespacePoolDeps {
  readonly network: Pick<NetworkManager, "create" | "remove">;
  readonly indexes: Indexes;
  /** Runs a task when no job waits; one that is lost with this process does no harm. */
  readonly later: (task: () => Promise<void>) => void;
}

export function createNamespacePool(deps: NamespacePoolDeps, options: { readonly size: number }): NamespacePool {
  const { network, indexes, later } = deps;
  const ready: MicroVmNetwork[] = [];
  const underWay = new Set<number>();
  let planned = 0;
  let started = false;

  /** Sees to it that enough tasks are planned. */
  function fill(): void {
    for (; started && ready.length + planned < options.size; planned++) later(prepare);
  }

  async function prepare(): Promise<void> {
    try {
      if (started) ready.push(await make(underWay));
    } finally {
      planned--;
    }
    if (!started) await discardReady();
  }

  async function make(note?: Set<number>): Promise<MicroVmNetwork> {
    const index = indexes.take();
    note?.add(index);
    try {
      return await network.create(index);
    } catch (error) {
      await network.remove(index);
      indexes.free(index);
      throw error;
    } finally {
      note?.delete(index);
    }
  }

  async function release(index: number): Promise<void> {
    await network.remove(index);
    indexes.free(index);
  }

  async function discardReady(): Promise<void> {
    for (const { index } of ready.splice(0)) await release(index);
  }

  return {
    async take() {
      const network = ready.shift();
      fill();
      return network ?? make();
    },
    release,
    reserve: (index) => indexes.reserve(index),
    start() {
      started = true;
      fill();
    },
    get prepared() {
      return [...ready.map(({ index }) => index), ...underWay];
    },
    async [Symbol.asyncDispose]() {
      started = false;
      await discardReady();
    },
  };
}

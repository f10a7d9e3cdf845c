/**
 * Memory of running microVMs against what the node may promise, and against what the host really has left: other programs
 * take of it too. Whoever does not fit waits, first come, first served; where nothing runs, one always may.
 */
export interface Capacity {
  /** Resolves with the call that gives the memory back; repeating it is harmless. Rejects with the signal's reason. */
  reserve(memoryMiB: number, options: { readonly signal: AbortSignal }): Promise<() => void>;
  /** For microVMs that run already, even beyond the budget. */
  take(memoryMiB: number): () => void;
  readonly waiting: number;
  readonly reservedMiB: number;
}

export interface CapacityConfig {
  readonly budgetMiB: number;
  /** While the host has less available than this, nobody is admitted. */
  readonly floorMiB: number;
}

/** How often those who wait for the host's memory look whether there is some again. */
const LOOK_EVERY_MS = 250;

export function createCapacity(
  { budgetMiB, floorMiB }: CapacityConfig,
  deps: { readonly availableMiB: () => number },
): Capacity {
  const queue: { readonly memoryMiB: number; admit(): void }[] = [];
  let reserved = 0;
  let looking: NodeJS.Timeout | undefined;

  function take(memoryMiB: number): () => void {
    reserved += memoryMiB;
    let given = false;
    return () => {
      if (given) return;
      given = true;
      reserved -= memoryMiB;
      admitNext();
    };
  }

  const fits = (memoryMiB: number) =>
    reserved === 0 || (reserved + memoryMiB <= budgetMiB && deps.availableMiB() >= floorMiB);

  function admitNext(): void {
    for (let next = queue[0]; next && fits(next.memoryMiB); next = queue[0]) {
      queue.shift();
      next.admit();
    }
    if (queue.length > 0) looking ??= setInterval(admitNext, LOOK_EVERY_MS).unref();
    else {
      clearInterval(looking);
      looking = undefined;
    }
  }

  return {
    reserve(memoryMiB, { signal }) {
      if (signal.aborted) return Promise.reject(signal.reason);
      if (queue.length === 0 && fits(memoryMiB)) return Promise.resolve(take(memoryMiB));
      return new Promise((resolve, reject) => {
        const abandon = () => {
          queue.splice(queue.indexOf(entry), 1);
          reject(signal.reason);
          admitNext();
        };
        const entry = {
          memoryMiB,
          admit() {
            signal.removeEventListener("abort", abandon);
            resolve(take(memoryMiB));
          },
        };
        queue.push(entry);
        looking ??= setInterval(admitNext, LOOK_EVERY_MS).unref();
        signal.addEventListener("abort", abandon, { once: true });
      });
    },
    take,
    get waiting() {
      return queue.length;
    },
    get reservedMiB() {
      return reserved;
    },
  };
}

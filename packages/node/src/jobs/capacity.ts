/** Memory of running microVMs against what the node may promise. Whoever does not fit waits, first come, first served. */
export interface Capacity {
  /** Resolves with the call that gives the memory back; repeating it is harmless. Rejects with the signal's reason. */
  reserve(memoryMiB: number, options: { readonly signal: AbortSignal }): Promise<() => void>;
  /** For microVMs that run already, even beyond the budget. */
  take(memoryMiB: number): () => void;
  readonly waiting: number;
  readonly reservedMiB: number;
}

export function createCapacity(budgetMiB: number): Capacity {
  const queue: { readonly memoryMiB: number; admit(): void }[] = [];
  let reserved = 0;

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

  const fits = (memoryMiB: number) => reserved === 0 || reserved + memoryMiB <= budgetMiB;

  function admitNext(): void {
    for (let next = queue[0]; next && fits(next.memoryMiB); next = queue[0]) {
      queue.shift();
      next.admit();
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

/** Lets at most `width` holders in at a time, first come, first served. */
export interface Gate {
  /** Resolves with the call that leaves again; leaving twice is harmless. Rejects with the signal's reason. */
  enter(options?: { readonly signal?: AbortSignal }): Promise<() => void>;
  readonly waiting: number;
  readonly inside: number;
}

export function createGate(width: number): Gate {
  const queue: (() => void)[] = [];
  let inside = 0;

  function leaver(): () => void {
    let left = false;
    return () => {
      if (left) return;
      left = true;
      inside--;
      queue.shift()?.();
    };
  }

  return {
    async enter({ signal } = {}) {
      signal?.throwIfAborted();
      if (inside >= width || queue.length > 0) {
        await new Promise<void>((resolve, reject) => {
          const admit = () => {
            signal?.removeEventListener("abort", abandon);
            inside++;
            resolve();
          };
          const abandon = () => {
            queue.splice(queue.indexOf(admit), 1);
            reject(signal?.reason);
          };
          queue.push(admit);
          signal?.addEventListener("abort", abandon, { once: true });
        });
      } else {
        inside++;
      }
      return leaver();
    },
    get waiting() {
      return queue.length;
    },
    get inside() {
      return inside;
    },
  };
}

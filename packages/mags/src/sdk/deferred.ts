export interface Deferred<T> {
  readonly promise: Promise<T>;
  resolve(value: T): void;
  reject(error: unknown): void;
}

/** `Promise.withResolvers`, which Node 20 does not have. A rejection that nobody waits for is no fault. */
export function deferred<T>(): Deferred<T> {
  let resolve!: Deferred<T>["resolve"]; // both are set by the executor, at once
  let reject!: Deferred<T>["reject"];
  const promise = new Promise<T>((accept, refuse) => {
    resolve = accept;
    reject = refuse;
  });
  promise.catch(() => {});
  return { promise, resolve, reject };
}

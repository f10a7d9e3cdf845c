/**
 * Does some work for each item, `width` at a time. When one fails no more are begun, and those under way are given up and
 * waited for.
 * @throws what the first one threw, or the signal's reason.
 */
export async function forEach<Item>(
  items: Iterable<Item>,
  { width, signal }: { readonly width: number; readonly signal: AbortSignal },
  work: (item: Item, options: { readonly signal: AbortSignal }) => Promise<void>,
): Promise<void> {
  const failed = new AbortController();
  const going = AbortSignal.any([signal, failed.signal]);
  const left = items[Symbol.iterator]();
  const worker = async () => {
    try {
      for (let next = left.next(); !next.done; next = left.next()) {
        going.throwIfAborted();
        await work(next.value, { signal: going });
      }
    } catch (error) {
      failed.abort(error);
    }
  };
  await Promise.all(Array.from({ length: width }, worker));
  failed.signal.throwIfAborted();
}

/** What is to be removed in several steps of which any can fail. */
export type CleanupStep = () => Promise<unknown>;

/**
 * @returns A function that takes every step that has not succeeded yet, in order and whatever becomes of the others; it may be
 * called until it resolves, and not while a call is under way. It rejects with the first error.
 */
export function createCleanup(steps: readonly CleanupStep[]): () => Promise<void> {
  let left = steps;
  return async () => {
    const failed: { readonly step: CleanupStep; readonly error: unknown }[] = [];
    for (const step of left) await step().catch((error: unknown) => failed.push({ step, error }));
    left = failed.map(({ step }) => step);
    if (failed.length > 0) throw failed[0]?.error;
  };
}

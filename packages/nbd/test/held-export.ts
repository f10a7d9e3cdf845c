import type { NbdExport } from "@mags/nbd";

/** An export whose reads end when the test says so, in whatever order. */
export function createHeldExport(sizeBytes: number) {
  const reads: { readonly offset: number; readonly signal: AbortSignal; end(error?: Error): void }[] = [];
  const source: NbdExport = {
    sizeBytes,
    read: (offset, length, { signal }) =>
      new Promise((resolve, reject) => {
        const end = (error?: Error) => (error ? reject(error) : resolve(Buffer.alloc(length, offset % 251)));
        reads.push({ offset, signal, end });
      }),
    extents: (_offset, length) => [{ length, zero: false }],
  };
  return { source, reads };
}

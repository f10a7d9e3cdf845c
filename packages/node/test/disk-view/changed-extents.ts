import { AppError } from "@mags/core";
import { ALLOCATION, ALLOCATION_CONTEXT, allExtents, DIRTY, type NbdClient, type NbdExtent } from "@mags/nbd";
import { bitmapName, GRANULARITY } from "../../src/qemu/disk-view/block-graph.ts";

export interface ChangedExtent {
  readonly offset: number;
  readonly length: number;
  /** Reads as zeros: it need not be read. */
  readonly zero: boolean;
}

const dirtyContext = (since: string) => `qemu:dirty-bitmap:${bitmapName(since)}`;

/** Contexts that `changedExtents` asks in. */
export function contextsOf(since: string | null): string[] {
  return [ALLOCATION_CONTEXT, ...(since === null ? [] : [dirtyContext(since)])];
}

/** So much is asked about at once, however little of it has changed. */
const WINDOW_BYTES = 64 * 1024 ** 2;

/**
 * What has changed, in order; without a name, all that is not zero.
 * @throws AppError `internal` when a QEMU tells of changes as an honest one does not; as `blockStatus` of the client.
 */
export async function* changedExtents(
  client: NbdClient,
  { since, signal }: { readonly since: string | null; readonly signal: AbortSignal },
): AsyncGenerator<ChangedExtent, void, void> {
  const allocation = { context: ALLOCATION_CONTEXT, signal };
  if (since === null) {
    for await (const { offset, length, flags } of allExtents(client, allocation))
      if ((flags & ALLOCATION.zero) === 0) yield { offset, length, zero: false };
    return;
  }
  let known: readonly NbdExtent[] = [];
  for await (const { offset, length, flags } of allExtents(client, { context: dirtyContext(since), signal })) {
    if ((flags & DIRTY) === 0) continue;
    const end = offset + length;
    if (offset % GRANULARITY !== 0 || (end % GRANULARITY !== 0 && end !== client.sizeBytes))
      throw new AppError("internal", `QEMU told of a change of ${length} bytes at ${offset}`);
    for (let at = offset; at < end; ) {
      const extent = known.find((one) => one.offset <= at && at < one.offset + one.length);
      if (!extent) {
        known = await client.blockStatus(at, Math.min(WINDOW_BYTES, client.sizeBytes - at), allocation);
        continue;
      }
      const next = Math.min(end, extent.offset + extent.length);
      yield { offset: at, length: next - at, zero: (extent.flags & ALLOCATION.zero) !== 0 };
      at = next;
    }
  }
}

import type { NbdClient } from "./nbd-client.ts";
import type { NbdExtent } from "./status-answer.ts";

/** All extents of an export in one context, in order; neighbours with the same flags come as one. Throws as `blockStatus`. */
export async function* allExtents(
  client: NbdClient,
  options: { readonly context: string; readonly signal?: AbortSignal },
): AsyncGenerator<NbdExtent, void, void> {
  let last: NbdExtent | undefined;
  for (let offset = 0; offset < client.sizeBytes; ) {
    for (const extent of await client.blockStatus(offset, client.sizeBytes - offset, options)) {
      offset = extent.offset + extent.length;
      if (last?.flags === extent.flags) {
        last = { ...last, length: last.length + extent.length };
        continue;
      }
      if (last) yield last;
      last = extent;
    }
  }
  if (last) yield last;
}

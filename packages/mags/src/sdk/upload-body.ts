import { once } from "node:events";
import type { ClientRequest } from "node:http";

export interface UploadBody {
  readonly contentType: string;
  /** Undefined: not known before. */
  readonly length?: number | undefined;
  readonly content: AsyncIterable<Uint8Array>;
}

export function uploadHeaders({ contentType, length }: UploadBody): Record<string, string | number> {
  return { "content-type": contentType, ...(length !== undefined && { "content-length": length }) };
}

/**
 * Sends a body no faster than the server takes it, until its end or until the server answers before that: then the rest
 * is of no use. Rejects with what reading the content throws.
 */
export async function sendBody(outgoing: ClientRequest, { content }: UploadBody): Promise<void> {
  let open = true;
  const over = new AbortController();
  const stop = () => {
    open = false;
    over.abort();
  };
  outgoing.once("response", stop);
  outgoing.once("close", stop);
  for await (const piece of content) {
    if (!open) return;
    if (!outgoing.write(piece)) await once(outgoing, "drain", { signal: over.signal }).catch(() => {});
  }
  if (open) outgoing.end();
}

/** What a stream of a guest sends, at the pace of its reader. */
import type { FromGuest } from "@mags/domain";
import type { AgentConnection, KindOptions } from "../agent/index.ts";
import { openPaced } from "./paced-stream.ts";

/**
 * Resolves when the guest has sent something or has ended, so that what goes wrong at once rejects. The stream ends with
 * the iteration, or when `signal` aborts.
 */
export async function openReader(
  agent: AgentConnection,
  options: KindOptions,
  { signal }: { readonly signal: AbortSignal },
): Promise<FromGuest<Buffer>> {
  const paced = openPaced(agent, options, { signal });

  async function* read(): FromGuest<Buffer> {
    try {
      while (await paced.more()) {
        const record = paced.take();
        yield record.bytes;
        paced.taken(record);
      }
    } finally {
      paced.close();
    }
  }

  try {
    await paced.more();
  } catch (error) {
    paced.close();
    throw error;
  }
  return read();
}

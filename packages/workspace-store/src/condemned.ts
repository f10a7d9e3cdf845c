/** What the collector of an account saw as garbage, and for how long. @see docs/formats/workspace-store.md */
import { AppError, isAppError } from "@mags/core";
import type { ObjectStore } from "@mags/object-store";
import { z } from "zod";
import { condemnedKey } from "./keys.ts";

const FORMAT = 1;
const Wire = z.object({
  magic: z.literal("mags-condemned"),
  format: z.literal(FORMAT),
  looked_at: z.iso.datetime(),
  ages_ms: z.record(z.string(), z.int().nonnegative()),
});

export interface Condemned {
  /** When the collector last looked; undefined when it never did. */
  readonly lookedAt: Date | undefined;
  /** Keys without the account's prefix, to the milliseconds for which they have been garbage. */
  readonly agesMs: ReadonlyMap<string, number>;
  readonly etag: string | undefined;
}

/** @throws AppError `store_corrupt`. */
export async function readCondemned(
  store: ObjectStore,
  account: string,
  { signal }: { readonly signal: AbortSignal },
): Promise<Condemned> {
  const key = condemnedKey(account);
  try {
    const { bytes, etag } = await store.get(key, { signal });
    const { looked_at, ages_ms } = decode(bytes, key);
    return { lookedAt: new Date(looked_at), agesMs: new Map(Object.entries(ages_ms)), etag };
  } catch (error) {
    if (isAppError(error, "object_not_found")) return { lookedAt: undefined, agesMs: new Map(), etag: undefined };
    throw error;
  }
}

function decode(bytes: Buffer, key: string): z.infer<typeof Wire> {
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw new AppError("store_corrupt", `${key} is no JSON`);
  }
  const parsed = Wire.safeParse(json);
  if (!parsed.success) throw new AppError("store_corrupt", `${key} is not valid: ${z.prettifyError(parsed.error)}`);
  return parsed.data;
}

/** @throws AppError `precondition_failed` if another collector wrote it meanwhile. */
export async function writeCondemned(
  store: ObjectStore,
  account: string,
  condemned: Condemned & { readonly lookedAt: Date; readonly signal: AbortSignal },
): Promise<void> {
  const wire: z.infer<typeof Wire> = {
    magic: "mags-condemned",
    format: FORMAT,
    looked_at: condemned.lookedAt.toISOString(),
    ages_ms: Object.fromEntries(condemned.agesMs),
  };
  const { etag, signal } = condemned;
  await store.put(
    condemnedKey(account),
    Buffer.from(JSON.stringify(wire)),
    etag === undefined ? { ifAbsent: true, signal } : { ifMatch: etag, signal },
  );
}

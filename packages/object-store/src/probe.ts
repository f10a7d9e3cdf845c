/** Whether a store does what is built upon, found out by doing it. */
import { randomBytes } from "node:crypto";
import { AppError, isAppError } from "@mags/core";
import type { ObjectStore, PutOptions } from "./object-store.ts";

const RIVALS = 6;
const CLEANUP_MS = 5_000;

/**
 * Writes small objects below `probe/` and removes them again, some 30 calls. What it says of a store it says of the
 * moment. Some stores answer writes at the same time with the wish to come again: give one that does (`retryStore`).
 * @throws AppError `object_store_unfit` that names what the store does not do; what the calls throw.
 */
export async function probeObjectStore(
  store: ObjectStore,
  options: { readonly signal?: AbortSignal } = {},
): Promise<void> {
  const folder = `probe/${randomBytes(8).toString("hex")}`;
  try {
    await checkReading(store, `${folder}/read`, options);
    await checkConditions(store, `${folder}/write`, options);
    await checkRace(store, `${folder}/race-absent`, { ...options, ifAbsent: true });
    const { etag } = await store.put(`${folder}/race-match`, Buffer.from("first"), options);
    await checkRace(store, `${folder}/race-match`, { ...options, ifMatch: etag });
    await checkListing(store, folder, options);
    await checkRemoving(store, folder, options);
  } catch (error) {
    // Also when the probe was aborted: what it wrote is not to stay.
    const signal = AbortSignal.timeout(CLEANUP_MS);
    await Promise.allSettled(NAMES.map((name) => store.delete(`${folder}/${name}`, { signal })));
    throw error;
  }
}

const NAMES = ["race-absent", "race-match", "read", "write"] as const;

type Options = { readonly signal?: AbortSignal };

async function checkReading(store: ObjectStore, key: string, options: Options): Promise<void> {
  const bytes = randomBytes(1_000);
  const { etag } = await store.put(key, bytes, options);
  const whole = await store.get(key, options);
  if (!whole.bytes.equals(bytes)) throw unfit(store, "gives back other bytes than it was given");
  const head = await store.head(key, options);
  if (whole.etag !== etag || head?.etag !== etag || head.sizeBytes !== bytes.length)
    throw unfit(store, "does not say the same of an object when it is written, read and asked about");
  const part = await store.get(key, { ...options, range: { start: 10, end: 20 } });
  if (!part.bytes.equals(bytes.subarray(10, 20))) throw unfit(store, "gives other bytes than those of a range");
}

async function checkConditions(store: ObjectStore, key: string, options: Options): Promise<void> {
  const first = await store.put(key, Buffer.from("1"), { ...options, ifAbsent: true });
  if (await writes(store, key, { ...options, ifAbsent: true }))
    throw unfit(store, "overwrites an object although it was told to write only if there is none (If-None-Match: *)");
  await store.put(key, Buffer.from("2"), { ...options, ifMatch: first.etag });
  if (await writes(store, key, { ...options, ifMatch: first.etag }))
    throw unfit(store, "overwrites an object although it was told to do so only for an older version (If-Match)");
  const now = await store.get(key, options);
  if (now.bytes.toString() !== "2") throw unfit(store, "does not show what was written last");
}

async function checkRace(store: ObjectStore, key: string, options: PutOptions): Promise<void> {
  const rivals = Array.from({ length: RIVALS }, (_, number) => `rival ${number}`);
  const wrote = await Promise.all(rivals.map((text) => writes(store, key, options, text)));
  const winners = rivals.filter((_, number) => wrote[number]);
  const { bytes } = await store.get(key, options.signal ? { signal: options.signal } : {});
  if (winners.length !== 1 || winners[0] !== bytes.toString())
    throw unfit(store, `let ${winners.length} of ${RIVALS} conditional writes at a time take place instead of one`);
}

async function checkListing(store: ObjectStore, folder: string, options: Options): Promise<void> {
  const keys: string[] = [];
  for await (const { key } of store.list(`${folder}/`, options)) keys.push(key);
  if (keys.join() !== NAMES.map((name) => `${folder}/${name}`).join())
    throw unfit(store, "does not list what was written, in order");
}

async function checkRemoving(store: ObjectStore, folder: string, options: Options): Promise<void> {
  for (const name of NAMES) {
    await store.delete(`${folder}/${name}`, options);
    if (await store.head(`${folder}/${name}`, options)) throw unfit(store, "shows an object that was removed");
  }
}

/** Whether a write takes place. Of one that was told to come again it does not. */
async function writes(store: ObjectStore, key: string, options: PutOptions, text = "over"): Promise<boolean> {
  try {
    await store.put(key, Buffer.from(text), options);
    return true;
  } catch (error) {
    if (isAppError(error, "precondition_failed")) return false;
    throw error;
  }
}

function unfit(store: ObjectStore, how: string): AppError {
  return new AppError("object_store_unfit", `the object store ${store.location} ${how}`);
}

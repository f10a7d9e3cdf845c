import type { Logger } from "@mags/core";
import { openFileStore } from "./filesystem/open-file-store.ts";
import type { OwnedObjectStore } from "./object-store.ts";
import { openS3Store, type S3StoreOptions } from "./s3/s3-store.ts";
import { limitStore } from "./wrappers/limit-store.ts";
import { retryStore } from "./wrappers/retry-store.ts";

export type ObjectStoreOptions =
  | {
      readonly kind: "filesystem";
      readonly directory: string;
      /** As `FileStoreOptions` has it. */
      readonly identity?: string | undefined;
    }
  | ({ readonly kind: "s3" } & S3StoreOptions);

export interface OpenOptions {
  /** How long calls to a store that is away are tried again. Default: two minutes. */
  readonly deadlineMs?: number;
}

const DEADLINE_MS = 120_000;
/** Bodies are held in memory while they are on the way. */
const CALLS_AT_A_TIME = 32;
const FIRST_PAUSE_MS = 100;
const MAX_PAUSE_MS = 5_000;

/**
 * Opens a store as it is meant to be used: one over the network with a limit to calls at a time, and with retries. Makes
 * no request yet.
 * @throws AppError as `openFileStore`.
 */
export async function openObjectStore(
  options: ObjectStoreOptions,
  { log }: { readonly log: Logger },
  { deadlineMs = DEADLINE_MS }: OpenOptions = {},
): Promise<OwnedObjectStore> {
  if (options.kind === "filesystem") {
    const store = await openFileStore(options.directory, { identity: options.identity });
    return { ...store, async [Symbol.asyncDispose]() {} };
  }
  const bucket = openS3Store(options);
  // A place is given up for the pause before another attempt.
  const limited = limitStore(bucket, { concurrency: CALLS_AT_A_TIME });
  const patience = { deadlineMs, firstPauseMs: FIRST_PAUSE_MS, maxPauseMs: MAX_PAUSE_MS };
  const store = retryStore(limited, { log, random: Math.random }, patience);
  return { ...store, [Symbol.asyncDispose]: () => bucket[Symbol.asyncDispose]() };
}

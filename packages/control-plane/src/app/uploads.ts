/**
 * Files that users send for their jobs. An upload is its bytes on disk, written first, and its record in the database,
 * which makes it one: bytes without a record are removed at the next start.
 */
import { randomUUID } from "node:crypto";
import { AppError, type Clock, type Logger, messageOf } from "@mags/core";
import { type AccountId, isUuid, type ToGuest, type UploadSource } from "@mags/domain";
import type { UploadFiles } from "./upload-files.ts";
import type { UploadRecord, UploadRecords } from "./upload-records.ts";
import { createUploadRoom } from "./upload-room.ts";

export interface Uploads extends UploadSource, AsyncDisposable {
  begin(accountId: AccountId): UploadBatch;
  /** @throws AppError `validation_failed` that names an id that is no upload of this account. */
  check(accountId: AccountId, fileIds: readonly string[]): Promise<void>;
  /** Those of the ids that are no upload's. */
  unknown(ids: readonly string[]): Promise<string[]>;
  /** Names of what is being written. */
  readonly underWay: readonly string[];
}

/** Files of one request: all are kept, or none when it is disposed of before `keep`. */
export interface UploadBatch extends AsyncDisposable {
  /** @param clientName  As the client gives it: its folders are dropped. */
  add(clientName: string, content: ToGuest): Promise<void>;
  keep(): Promise<readonly UploadRecord[]>;
}

const LIFETIME_MS = 24 * 60 * 60 * 1000;
const EXPIRY_INTERVAL_MS = 60_000;
const MAX_NAME_BYTES = 255;
const IDS_PER_QUERY = 1_000;

export interface UploadsDeps {
  readonly records: UploadRecords;
  readonly files: UploadFiles;
  readonly clock: Clock;
  readonly log: Logger;
  readonly maxBytesPerAccount: number;
}

/** Removes what an earlier process left half-made, and from then on what has expired. */
export async function startUploads(deps: UploadsDeps): Promise<Uploads> {
  const { records, files, clock, log } = deps;
  const room = createUploadRoom(records, deps.maxBytesPerAccount);
  for (const id of await unknown(await files.list())) await files.remove(id);
  let expiring: Promise<void> = Promise.resolve();
  const timer = setInterval(() => {
    expiring = expiring.then(expire).catch((error: unknown) => {
      log.warn("uploads.not_expired", { error: messageOf(error) });
    });
  }, EXPIRY_INTERVAL_MS);
  timer.unref();

  async function unknown(ids: readonly string[]): Promise<string[]> {
    const found: string[] = [];
    for (let at = 0; at < ids.length; at += IDS_PER_QUERY) {
      const some = ids.slice(at, at + IDS_PER_QUERY);
      const known = await records.known(some.filter(isUuid));
      found.push(...some.filter((id) => !known.has(id)));
    }
    return found;
  }

  async function expire(): Promise<void> {
    for (const id of await records.removeExpired(new Date(clock.now().getTime() - LIFETIME_MS))) await files.remove(id);
  }

  function begin(accountId: AccountId): UploadBatch {
    const written: UploadRecord[] = [];
    const share = room.share(accountId);
    let kept = false;
    return {
      async add(clientName, content) {
        const id = randomUUID();
        const name = baseName(clientName);
        const sizeBytes = await files.write(id, await share.counted(content));
        written.push({ id, accountId, name, sizeBytes, createdAt: clock.now() });
      },
      async keep() {
        await share.check();
        await files.keep(written.map(({ id }) => id));
        await records.insert(written);
        kept = true;
        return written;
      },
      async [Symbol.asyncDispose]() {
        share.end();
        if (!kept) for (const { id } of written) await files.remove(id);
      },
    };
  }

  return {
    begin,
    async check(accountId, fileIds) {
      if (fileIds.length === 0) return;
      const owned = await records.owned(accountId, fileIds.filter(isUuid));
      const missing = fileIds.find((id) => !owned.has(id));
      if (missing !== undefined)
        throw new AppError(
          "validation_failed",
          `file_ids: there is no upload ${JSON.stringify(missing)}: it was never there, or 24 hours or the end of its job have passed; upload it again`,
        );
    },
    async open(fileId) {
      const record = await records.find(fileId);
      if (!record) throw new AppError("file_not_found", `the upload ${fileId} is no longer there: upload it again`);
      return { name: record.name, ...(await files.open(fileId)) };
    },
    unknown,
    get underWay() {
      return files.underWay;
    },
    async [Symbol.asyncDispose]() {
      clearInterval(timer);
      await expiring;
    },
  };
}

/** @throws AppError `validation_failed` when no file can have the name. */
export function baseName(clientName: string): string {
  const name = clientName.replace(/^.*[/\\]/s, "");
  if (name === "" || name === "." || name === ".." || name.includes("\0") || !name.isWellFormed())
    throw new AppError("validation_failed", `${JSON.stringify(clientName)} is no name of a file`);
  if (Buffer.byteLength(name) > MAX_NAME_BYTES)
    throw new AppError("validation_failed", `the name of a file has at most ${MAX_NAME_BYTES} bytes`);
  return name;
}

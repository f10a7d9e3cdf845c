/**
 * Objects by key: what a storage engine needs of a bucket, a folder or memory, and no more.
 *
 * All calls may run at the same time, also on one key and also from several processes. A write takes place whole or not
 * at all; once it has resolved it is on stable storage (of the memory store: in memory), and every later call sees it.
 * `get`, `head`, `list` and `delete` may be repeated at will, and so may a `put` without a condition; see `retryStore`
 * for those with one. Every call rejects with the reason of its signal; a write that was aborted may have taken place.
 *
 * Every call may throw AppError
 * - `validation_failed`: a key, prefix or range that cannot be;
 * - `unavailable`: the store could not be reached, was too busy or broke off. Worth another try. Of a write nobody
 *   knows whether it took place;
 * - `object_store_refused`: no access, no such bucket, an answer that is none of a store. Somebody has to act;
 * - `disk_full`, from `put`: no room; nothing was stored;
 * - `internal`: anything else.
 */
export interface ObjectStore {
  /** Where the objects are, for people; without secrets. */
  readonly location: string;

  /**
   * Reads an object, or exactly the bytes of a range; the caller owns the buffer.
   * @throws AppError `object_not_found`; `range_not_satisfiable` when the object ends before the range does.
   */
  get(key: string, options?: GetOptions): Promise<StoredObject>;

  /** What is known of an object without reading it; undefined when there is none. */
  head(key: string, options?: CallOptions): Promise<ObjectHead | undefined>;

  /**
   * Writes an object, in place of one that is there. The bytes must not change until it has settled.
   * @param options.ifAbsent  Only when there is no such object.
   * @param options.ifMatch   Only when the object has this etag.
   * @throws AppError `precondition_failed` when the condition does not hold: nothing was written. Of several writes at a
   *   time with the same condition one takes place. `payload_too_large` beyond MAX_OBJECT_BYTES.
   */
  put(key: string, bytes: Uint8Array, options?: PutOptions): Promise<PutResult>;

  /** Removes an object; one that is not there is no error. */
  delete(key: string, options?: CallOptions): Promise<void>;

  /**
   * The objects whose keys begin with `prefix` (any text, empty: all), in order of their keys' bytes in UTF-8. What is
   * written or removed meanwhile may be missing or not; all else comes once. Fetched in pages as they are asked for.
   * @param options.after  Only keys behind this one.
   */
  list(prefix: string, options?: ListOptions): AsyncIterable<ListedObject>;
}

/** A store that holds sockets or the like until it is disposed. */
export interface OwnedObjectStore extends ObjectStore, AsyncDisposable {}

/** Names a version of an object: it changes whenever the content does. Opaque; only of meaning to the store it came from. */
export type Etag = string;

export interface CallOptions {
  readonly signal?: AbortSignal | undefined;
}

/** Offsets in bytes, `end` exclusive; at least one byte. */
export interface ByteRange {
  readonly start: number;
  readonly end: number;
}

export interface GetOptions extends CallOptions {
  readonly range?: ByteRange | undefined;
}

export type PutOptions = CallOptions &
  (
    | { readonly ifAbsent?: false | undefined; readonly ifMatch?: undefined }
    | { readonly ifAbsent: true; readonly ifMatch?: undefined }
    | { readonly ifAbsent?: false | undefined; readonly ifMatch: Etag }
  );

export interface ListOptions extends CallOptions {
  readonly after?: string | undefined;
}

export interface StoredObject {
  readonly bytes: Buffer;
  /** Of the version that the bytes are of. */
  readonly etag: Etag;
}

export interface ObjectHead {
  readonly sizeBytes: number;
  readonly etag: Etag;
  /** By the store's clock, which may differ from this machine's; in whole seconds where the store counts so. */
  readonly modifiedAt: Date;
}

export interface PutResult {
  readonly etag: Etag;
}

export interface ListedObject {
  readonly key: string;
  readonly sizeBytes: number;
  /** As that of `head`. */
  readonly modifiedAt: Date;
}

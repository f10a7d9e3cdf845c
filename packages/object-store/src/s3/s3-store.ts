/**
 * Objects in a bucket of an S3 store. Every request is signed with the hash of its body, so a store refuses what was
 * damaged on the way. Bodies are sent from memory with their length: what is cut off is not stored.
 */
import { AppError, type Secret } from "@mags/core";
import { AwsV4Signer } from "aws4fetch";
import {
  checkKey,
  checkPrefix,
  checkRange,
  checkSize,
  compareKeys,
  conditionFailed,
  isKey,
  MAX_OBJECT_BYTES,
  notFound,
  rangeBeyond,
} from "../keys.ts";
import type { OwnedObjectStore } from "../object-store.ts";
import { type BucketPlace, listUrl, objectUrl } from "./address.ts";
import { createEtagForms } from "./etag-forms.ts";
import { failureOf } from "./failures.ts";
import { type ListingPage, readListing } from "./listing.ts";
import { type Answer, openTransport } from "./transport.ts";

export interface S3StoreOptions extends BucketPlace {
  readonly region: string;
  readonly accessKey: string;
  readonly secretKey: Secret;
  /** When nothing moves on a connection for so long, a call has failed with `unavailable`. Default: 30 s. */
  readonly stallMs?: number;
  /** The same of reads of objects, which have no work to wait for. Default: 10 s, or `stallMs` where that is less. */
  readonly readStallMs?: number;
  /** Keys that are asked for at a time, at most 1000, which is the default. */
  readonly keysPerPage?: number;
}

const STALL_MS = 30_000;
const READ_STALL_MS = 10_000;
const MAX_SOCKETS = 64;
/** 1000 keys of 1024 bytes, each percent-encoded, with what stands around them. */
const MAX_LISTING_BYTES = 8 * 1024 * 1024;
/** Of answers that are to have no body. */
const MAX_SMALL_BYTES = 64 * 1024;
const KEYS_PER_PAGE = 1_000;

interface Call {
  readonly what: string;
  readonly method: "GET" | "HEAD" | "PUT" | "DELETE";
  readonly url: string;
  readonly headers?: Readonly<Record<string, string>>;
  readonly body?: Uint8Array;
  readonly maxBytes?: number;
  /** Default: that of calls which are no reads of objects. */
  readonly stallMs?: number;
  readonly signal: AbortSignal | undefined;
}

/** Makes no request yet. */
export function openS3Store(options: S3StoreOptions): OwnedObjectStore {
  const { endpoint, bucket, prefix, region, accessKey, secretKey, stallMs = STALL_MS } = options;
  const { keysPerPage = KEYS_PER_PAGE, readStallMs = Math.min(READ_STALL_MS, stallMs) } = options;
  const location = `s3://${bucket}/${prefix} at ${endpoint}`;
  const transport = openTransport({ maxSockets: MAX_SOCKETS });
  const etags = createEtagForms();
  const signingKeys = new Map<string, ArrayBuffer>();

  async function call(asked: Call): Promise<Answer> {
    const { method, url, headers = {}, body, signal } = asked;
    signal?.throwIfAborted();
    const signer = new AwsV4Signer({
      ...{ method, url, region, service: "s3", accessKeyId: accessKey, secretAccessKey: secretKey.reveal() },
      headers: { ...headers, "x-amz-content-sha256": await sha256(body ?? new Uint8Array()) },
      cache: signingKeys,
    });
    const signed = await signer.sign();
    signal?.throwIfAborted();
    return transport.send({
      ...{ method, url: signed.url, headers: Object.fromEntries(signed.headers), body, signal },
      maxBytes: asked.maxBytes ?? MAX_SMALL_BYTES,
      stallMs: asked.stallMs ?? stallMs,
    });
  }

  const refused = (what: string, how: string) =>
    new AppError("object_store_refused", `${what} failed: the store ${how}`);

  function headerOf({ headers }: Answer, name: string, what: string): string {
    const value = headers[name];
    if (!value) throw refused(what, `says no ${name}`);
    return value;
  }

  return {
    location,

    async get(key, { range, signal } = {}) {
      checkKey(key);
      if (range) checkRange(range);
      const what = `reading ${key} in ${location}`;
      const headers: Record<string, string> = range ? { range: `bytes=${range.start}-${range.end - 1}` } : {};
      const maxBytes = range ? range.end - range.start : MAX_OBJECT_BYTES;
      const url = objectUrl(options, key);
      const answer = await call({ what, method: "GET", url, headers, maxBytes, stallMs: readStallMs, signal });
      if (answer.status !== 200 && answer.status !== 206) {
        const failure = failureOf(answer, what);
        if (failure.code === "object_not_found") throw notFound(key, location);
        throw failure.code === "range_not_satisfiable" && range ? rangeBeyond(key, range) : failure;
      }
      if (range) {
        if (answer.status === 200) throw refused(what, "does not know ranges");
        const { start, end, total } = contentRange(headerOf(answer, "content-range", what));
        if (start === range.start && end === total && end < range.end) throw rangeBeyond(key, range);
        if (start !== range.start || end !== range.end || answer.body.length !== end - start)
          throw refused(what, "gave another range than was asked for");
      }
      return { bytes: answer.body, etag: headerOf(answer, "etag", what) };
    },

    async head(key, { signal } = {}) {
      checkKey(key);
      const what = `looking at ${key} in ${location}`;
      const answer = await call({ what, method: "HEAD", url: objectUrl(options, key), signal });
      if (answer.status === 404) return undefined; // an answer to HEAD has no body that could say more
      if (answer.status !== 200) throw failureOf(answer, what);
      const sizeBytes = Number(headerOf(answer, "content-length", what));
      const modifiedAt = new Date(headerOf(answer, "last-modified", what));
      return { sizeBytes, etag: headerOf(answer, "etag", what), modifiedAt };
    },

    async put(key, bytes, { ifAbsent = false, ifMatch, signal } = {}) {
      checkKey(key);
      checkSize(key, bytes.length);
      const what = `writing ${key} in ${location}`;
      const write = (headers: Readonly<Record<string, string>>) =>
        call({ what, method: "PUT", url: objectUrl(options, key), headers, body: bytes, signal });
      const answer =
        ifMatch === undefined
          ? await write(ifAbsent ? { "if-none-match": "*" } : {})
          : await etags.tryForms(ifMatch, (etag) => write({ "if-match": etag }));
      if (answer.status === 200) return { etag: headerOf(answer, "etag", what) };
      const failure = failureOf(answer, what);
      const isGone = failure.code === "object_not_found" && ifMatch !== undefined;
      throw isGone || failure.code === "precondition_failed" ? conditionFailed(key, location) : failure;
    },

    async delete(key, { signal } = {}) {
      checkKey(key);
      const what = `removing ${key} in ${location}`;
      const answer = await call({ what, method: "DELETE", url: objectUrl(options, key), signal });
      if (answer.status === 204 || answer.status === 200) return;
      const failure = failureOf(answer, what);
      if (failure.code !== "object_not_found") throw failure;
    },

    async *list(begin, { after, signal } = {}) {
      checkPrefix(begin);
      const what = `listing ${begin}* in ${location}`;
      const asked = {
        "list-type": "2",
        "encoding-type": "url",
        "max-keys": String(keysPerPage),
        prefix: prefix + begin,
      };
      let last = after === undefined ? undefined : prefix + after;
      let place: Readonly<Record<string, string>> | undefined = last === undefined ? {} : { "start-after": last };
      while (place) {
        const url = listUrl(options, { ...asked, ...place });
        const answer = await call({ what, method: "GET", url, maxBytes: MAX_LISTING_BYTES, signal });
        if (answer.status !== 200) throw failureOf(answer, what);
        const page: ListingPage = readPage(answer, what);
        for (const { key, ...known } of page.objects) {
          if (!key.startsWith(prefix + begin)) throw refused(what, "lists keys that were not asked for");
          if (last !== undefined && compareKeys(key, last) <= 0)
            throw refused(what, "does not list keys in their order");
          last = key;
          const own = key.slice(prefix.length);
          if (isKey(own)) yield { key: own, ...known };
          signal?.throwIfAborted();
        }
        place = page.next === undefined ? undefined : { "continuation-token": page.next };
      }
    },

    [Symbol.asyncDispose]: () => transport[Symbol.asyncDispose](),
  };

  function readPage(answer: Answer, what: string): ListingPage {
    try {
      return readListing(answer.body);
    } catch (cause) {
      throw new AppError("object_store_refused", `${what} failed: what the store answered is no listing`, { cause });
    }
  }
}

const { subtle } = globalThis.crypto;

/** Computed beside the event loop. */
async function sha256(bytes: Uint8Array): Promise<string> {
  // A Uint8Array may lie on shared memory by its type; subtle copies what it is given.
  return Buffer.from(await subtle.digest("SHA-256", bytes as Uint8Array<ArrayBuffer>)).toString("hex");
}

function contentRange(text: string): { readonly start: number; readonly end: number; readonly total: number } {
  const [, start, last, total] = /^bytes (\d+)-(\d+)\/(\d+)$/.exec(text) ?? [];
  return { start: Number(start), end: Number(last) + 1, total: Number(total) };
}

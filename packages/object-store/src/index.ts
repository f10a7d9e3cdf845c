export { makeFileStore, openFileStore } from "./filesystem/open-file-store.ts";
export { compareKeys, isKey, MAX_KEY_BYTES, MAX_OBJECT_BYTES } from "./keys.ts";
export { createMemoryStore } from "./memory/memory-store.ts";
export type {
  ByteRange,
  CallOptions,
  Etag,
  GetOptions,
  ListedObject,
  ListOptions,
  ObjectHead,
  ObjectStore,
  OwnedObjectStore,
  PutOptions,
  PutResult,
  StoredObject,
} from "./object-store.ts";
export { type ObjectStoreOptions, type OpenOptions, openObjectStore } from "./open-object-store.ts";
export { probeObjectStore } from "./probe.ts";
export { openS3Store, type S3StoreOptions } from "./s3/s3-store.ts";
export { type LimitOptions, limitStore } from "./wrappers/limit-store.ts";
export type { PatienceDeps, PatienceOptions } from "./wrappers/patience.ts";
export { retryStore } from "./wrappers/retry-store.ts";

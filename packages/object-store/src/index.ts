export { openFileStore } from "./filesystem/open-file-store.ts";
export { compareKeys, MAX_KEY_BYTES, MAX_OBJECT_BYTES } from "./keys.ts";
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

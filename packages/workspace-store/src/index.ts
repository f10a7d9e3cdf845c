export { type Checked, checkAccount } from "./check.ts";
export { type Collected, collect } from "./collect.ts";
export { isCompactionOf, moveOutOf, planCompaction } from "./compact.ts";
export { lookIntervalMs } from "./condemned.ts";
export { deleteWorkspace } from "./delete-workspace.ts";
export { exportDisk } from "./export-disk.ts";
export { forEach } from "./for-each.ts";
export { type Head, type HeadVersion, latestOf } from "./format/head.ts";
export { isForeign } from "./format/json-object.ts";
export {
  type BaseImage,
  decodeManifest,
  type Manifest,
  type PackUse,
  type SyncReason,
} from "./format/manifest.ts";
export { CHUNK_BYTES, type RecordRef, SEGMENT_CHUNKS, sha256Of } from "./format/records.ts";
export { type CheckedImages, checkImages } from "./images/check-images.ts";
export { collectImages } from "./images/collect-images.ts";
export { fetchImage } from "./images/fetch-image.ts";
export { keepImage } from "./images/keep-image.ts";
export { surveyImages } from "./images/list-images.ts";
export { type ImageFiles, type ImageUpload, newImageUpload } from "./images/send-image.ts";
export type { VersionName, WorkspaceKey } from "./keys.ts";
export { createKnownPacks } from "./known-packs.ts";
export { acquireLease, type Lease, readHead } from "./lease.ts";
export { listVersions } from "./list-versions.ts";
export { findVersions } from "./lost-head.ts";
export type { Published } from "./publish-manifest.ts";
export { withReadableTables } from "./readable-tables.ts";
export { type RecordSource, recordsOf } from "./record-source.ts";
export { keptVersions } from "./retention.ts";
export { listAccounts, surveyAccount } from "./survey.ts";
export { createTableCache, type TableCache } from "./table-cache.ts";
export { createVersionReader, fetchManifest, openVersion, readManifest, type VersionReader } from "./version-reader.ts";
export { createVersionWriter, type VersionWriter, writerLimitMs } from "./version-writer.ts";

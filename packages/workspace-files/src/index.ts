export { type DiffOptions, diffVersions, type VersionDiff } from "./diff-versions.ts";
export { hasSameFiles } from "./has-same-files.ts";
export { type TarShape, tarOf } from "./tar-of.ts";
export { openUpperLayer } from "./upper-layer.ts";

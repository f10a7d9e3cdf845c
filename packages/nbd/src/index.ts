export { allExtents } from "./client/all-extents.ts";
export type { BlockSizes } from "./client/block-sizes.ts";
export { connectNbd, type NbdClient, type NbdClientOptions } from "./client/nbd-client.ts";
export type { NbdExtent } from "./client/status-answer.ts";
export { NbdError } from "./nbd-error.ts";
export { ALLOCATION, ALLOCATION_CONTEXT, DEPTH_CONTEXT, DIRTY, type NbdErrno } from "./protocol/values.ts";
export { type NbdExport, type NbdExports, type NbdPiece, type NbdZeroExtent, NotNow } from "./server/export.ts";
export type { NbdServerLimits } from "./server/limits.ts";
export { createNbdServer, type NbdServer, type NbdServerDeps } from "./server/nbd-server.ts";

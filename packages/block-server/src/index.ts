export {
  type BlockServerCalls,
  type Caller,
  type CallName,
  type Damage,
  type DiskSource,
  EXPORT_NAME,
  type ParamsOf,
  type ResultOf,
  type SyncCall,
  type SyncResult,
  type VersionKey,
} from "./calls.ts";
export { call, isGone } from "./rpc/call.ts";
export {
  type BlockServer,
  controlSocketOf,
  processFileOf,
  servedDirectoryOf,
  startBlockServer,
} from "./start-block-server.ts";

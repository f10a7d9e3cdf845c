export type { Account, AccountRole } from "./app/account-store.ts";
export type { Accounts, IssuedToken } from "./app/accounts.ts";
export type { CertificateSummary } from "./app/certificate-summary.ts";
export type { QueueLimits } from "./app/job-queue.ts";
export type { SandboxDefaults } from "./app/sandbox-policy.ts";
export type { Sealing } from "./app/sealing.ts";
export type { PortRange } from "./app/ssh-access-store.ts";
export type { SshServiceConfig } from "./app/ssh-service.ts";
export type { Uploads } from "./app/uploads.ts";
export type { UrlServiceConfig } from "./app/url-service.ts";
export type { ControlPlaneConfig } from "./control-plane-config.ts";
export { openSealing } from "./disk/sealing-key.ts";
export { endPostgres } from "./postgres/end-postgres.ts";
export type { PostgresPlace } from "./postgres/place.ts";
export { isAlive, readProcess, type ServerProcess } from "./postgres/processes.ts";
export { type EmbeddedPostgres, type PostgresState, startPostgres } from "./postgres/start-postgres.ts";
export { databaseFileOwner, databaseProcesses, isDatabaseSocket } from "./postgres/traces.ts";
export type { Readiness, ReadinessCheck } from "./routes/service.ts";
export type { DatabaseAddress } from "./sql/address.ts";
export { type Database, type DatabaseOptions, openDatabase } from "./sql/database.ts";
export type { Installation } from "./sql/ownership.ts";
export {
  type ControlPlane,
  type ControlPlaneDeps,
  openUploads,
  startControlPlane,
} from "./start-control-plane.ts";

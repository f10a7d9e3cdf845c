import type { Clock, Logger } from "@mags/core";
import type { NodeRuntime } from "@mags/domain";
import type { Accounts } from "../app/accounts.ts";
import type { AuditLog } from "../app/audit-log.ts";
import type { AuditStore } from "../app/audit-store.ts";
import type { Disks } from "../app/disks.ts";
import type { Intake } from "../app/intake.ts";
import type { JobChanges } from "../app/job-changes.ts";
import type { JobQueue } from "../app/job-queue.ts";
import type { JobStore } from "../app/job-store.ts";
import type { JobTimings } from "../app/job-timings.ts";
import type { JobWriter } from "../app/job-writer.ts";
import type { NewestVersions } from "../app/newest-versions.ts";
import type { Policies } from "../app/policies.ts";
import type { WorkspaceWork } from "../app/reconcile-workspaces.ts";
import type { SandboxDefaults } from "../app/sandbox-policy.ts";
import type { SandboxReports } from "../app/sandbox-reports.ts";
import type { SandboxStore } from "../app/sandbox-store.ts";
import type { SshKeys } from "../app/ssh-keys.ts";
import type { SshService } from "../app/ssh-service.ts";
import type { Uploads } from "../app/uploads.ts";
import type { UrlService } from "../app/url-service.ts";
import type { UrlStore } from "../app/url-store.ts";
import type { UrlTrafficStore } from "../app/url-traffic-store.ts";
import type { UsageStore } from "../app/usage.ts";
import type { WorkspaceRecords } from "../app/workspace-records.ts";

/** What routes work with; each takes what it needs. */
export interface RouteDeps {
  readonly store: JobStore;
  readonly accounts: Accounts;
  readonly sshKeys: SshKeys;
  readonly audit: Pick<AuditLog, "note">;
  readonly auditStore: AuditStore;
  readonly usage: UsageStore;
  readonly uploads: Uploads;
  readonly sandboxes: SandboxStore;
  readonly workspaces: WorkspaceRecords;
  readonly workspaceWork: WorkspaceWork;
  readonly newestVersions: NewestVersions;
  readonly reports: SandboxReports;
  readonly policies: Policies;
  readonly disks: Disks;
  readonly defaults: SandboxDefaults;
  /** Null: there are no SSH gateways. */
  readonly ssh: SshService | null;
  /** Null: there are no URLs. */
  readonly urls: UrlService | null;
  readonly urlStore: UrlStore;
  readonly urlTraffic: UrlTrafficStore;
  readonly node: NodeRuntime;
  readonly intake: Intake;
  readonly writer: JobWriter;
  readonly queue: JobQueue;
  readonly changes: JobChanges;
  readonly timings: JobTimings;
  readonly clock: Clock;
  readonly log: Logger;
  /** Where clients reach the API; null: not known. */
  readonly publicUrl: string | null;
  /** Silence after which an event stream sends a comment. */
  readonly heartbeatMs: number;
}

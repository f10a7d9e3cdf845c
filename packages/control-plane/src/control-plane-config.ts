import type { QueueLimits } from "./app/job-queue.ts";
import type { SandboxDefaults } from "./app/sandbox-policy.ts";
import type { SshServiceConfig } from "./app/ssh-service.ts";
import type { UrlServiceConfig } from "./app/url-service.ts";

export interface ControlPlaneConfig {
  /** What jobs may take, and how many may wait how long. Default: accounts take what there is. */
  readonly limits?: QueueLimits;
  /** When VMs that stay sleep or are released. Default: after 10 min, or 5 min without a persistent job. */
  readonly sandboxes?: SandboxDefaults;
  /** How long entries of the audit log are kept. Default: 90 days. */
  readonly auditKeepDays?: number;
  /** How long entries of the access logs of URLs are kept, also where there are none any more. Default: 7 days. */
  readonly urlLogKeepDays?: number;
  /** Where SSH gateways are reached. Default: there are none. */
  readonly ssh?: SshServiceConfig | null;
  /** What URLs are called, and where gateways are reached. Default: there are none. */
  readonly urls?: UrlServiceConfig | null;
  /** Where clients reach the API. Default: at the address it listens on. */
  readonly publicUrl?: string | undefined;
  /** Origins whose web pages may use the API. Default none. */
  readonly corsOrigins?: readonly string[];
  /** How often jobs are compared with the node. Default 15 s. */
  readonly reconcileIntervalMs?: number;
  /** How often the object store is searched for what no workspace needs any more. Default 1 h. */
  readonly collectionIntervalMs?: number;
  /** Silence after which an event stream sends a comment. Default 15 s. */
  readonly heartbeatMs?: number;
  /** Refuse to send what the schemas do not say. For tests. Default false. */
  readonly checkResponses?: boolean;
}

/**
 * Generated from the schemas of the REST API by `npm run generate`; do not edit.
 * Objects as they are on the wire: snake_case keys, times in RFC 3339, UTC.
 */

export interface SubmitJob {
  /** Shell script, or with type `url` the http(s) address of one. At most 1 MiB. */
  script: string;
  type: "inline" | "url";
  /** Default: generated. */
  name?: string;
  /** The VM stays when the script has ended, until the job is stopped. */
  persistent?: boolean;
  environment?: Record<string, string>;
  /** Size of the root disk. Default and least: 2, or as large as that of the workspace or base that it begins as. */
  disk_gb?: number;
  vcpus?: number;
  memory_mb?: number;
  /** Seconds the script may run; exit code 124 then. Default: no limit. */
  timeout?: number;
  /** Name of a guest image. Default: standard. */
  rootfs_type?: string;
  /** Network access of the guest. Default: filtered. */
  egress?: "filtered" | "none" | {
    allow: string[];
  } | null;
  labels?: Record<string, string>;
  /** The workspace of a persistent job stays on the disk of its VM; else it is synced. */
  no_sync?: boolean;
  /** The VM does not sleep when it is idle. Needs `persistent`. */
  no_sleep?: boolean;
  /** Jobs of one workspace share a VM and its files, one script at a time. With `persistent` it is synced; one that was synced is opened as its latest version. */
  workspace_id?: string | null;
  /** A synced workspace whose files the job begins with: its name, or name@version. It is never changed. */
  base_workspace_id?: string | null;
  /** Uploads, put into /uploads and /root of the VM; the script starts in /uploads then. */
  file_ids?: string[] | null;
  /** Run when the VM of a persistent job wakes without its memory. */
  startup_command?: string | null;
  /** The VM of a persistent job sleeps when it was idle for so long. */
  idle_minutes?: number | null;
  /** Ends scripts that run in the workspace and stand in the way; else the reply is 409. */
  replace?: boolean | null;
}

export interface SubmitReply {
  request_id: string;
  status: "accepted";
  message: string;
}

export interface RunningSync {
  /** Read of the disk so far. */
  read_bytes: number;
  /** To be read in all; 0 while that is not known. */
  total_bytes: number;
  /** Taken by the object store so far. */
  sent_bytes: number;
}

export interface SyncProgress {
  /** The latest version; null: it was not synced yet. */
  version: number | null;
  /** When the disk was last known to be all synced. */
  last_synced_at: string | null;
  /** Bytes that changed since, as far as is known. */
  behind_bytes: number;
  /** Why the last sync failed, or what changed may be unsynced; null when all went well. */
  failure: string | null;
  /** The sync that is under way; null when none is. */
  running: RunningSync | null;
}

export interface JobStatus {
  request_id: string;
  name: string;
  status: "pending" | "running" | "sleeping" | "completed" | "error";
  workspace_id?: string;
  /** While a VM is attached. */
  vm_id?: string;
  /** Of persistent jobs: 12 hex digits. */
  subdomain?: string;
  /** Once access to a port was asked for, while the VM stays. */
  url?: string;
  /** Where that leads to, in the VM. */
  url_port?: number;
  /** Of persistent jobs: whether only links open the URL. */
  url_private?: boolean;
  /** Once the script ended. */
  exit_code?: number;
  /** With status `error`. */
  error_message?: string;
  /** Once the script ended. */
  script_duration_ms?: number;
  created_at: string;
  started_at?: string;
  completed_at?: string;
  persistent: boolean;
  no_sleep: boolean;
  no_sync: boolean;
  startup_command?: string;
  /** Of persistent jobs. */
  idle_minutes?: number;
  /** When and why the VM last went to sleep (`slept`), woke (`woke`) or was lost (`vm_lost`). */
  last_transition?: {
    name: string;
    reason?: string;
    at: string;
  };
  /** While the VM of a synced workspace stays. */
  sync?: SyncProgress;
  /** While the VM that stays stands still in the middle of a write: why, such as that the host's disk is full. */
  waits_for?: string;
  disk_gb: number;
  vcpus: number;
  memory_mb: number;
  rootfs_type: string;
  egress: "filtered" | "none" | {
    allow: string[];
  };
  labels: Record<string, string>;
}

export interface Job {
  request_id: string;
  name: string;
  status: "pending" | "running" | "sleeping" | "completed" | "error";
  workspace_id?: string;
  /** While a VM is attached. */
  vm_id?: string;
  /** Of persistent jobs: 12 hex digits. */
  subdomain?: string;
  /** Once access to a port was asked for, while the VM stays. */
  url?: string;
  /** Where that leads to, in the VM. */
  url_port?: number;
  /** Of persistent jobs: whether only links open the URL. */
  url_private?: boolean;
  /** Once the script ended. */
  exit_code?: number;
  /** With status `error`. */
  error_message?: string;
  /** Once the script ended. */
  script_duration_ms?: number;
  created_at: string;
  started_at?: string;
  completed_at?: string;
  persistent: boolean;
  no_sleep: boolean;
  no_sync: boolean;
  startup_command?: string;
  /** Of persistent jobs. */
  idle_minutes?: number;
  /** When and why the VM last went to sleep (`slept`), woke (`woke`) or was lost (`vm_lost`). */
  last_transition?: {
    name: string;
    reason?: string;
    at: string;
  };
  /** While the VM of a synced workspace stays. */
  sync?: SyncProgress;
  /** While the VM that stays stands still in the middle of a write: why, such as that the host's disk is full. */
  waits_for?: string;
  disk_gb: number;
  vcpus: number;
  memory_mb: number;
  rootfs_type: string;
  egress: "filtered" | "none" | {
    allow: string[];
  };
  labels: Record<string, string>;
  /** Same as request_id. */
  id: string;
}

export interface JobPage {
  jobs: Job[];
  total: number;
  page: number;
  page_size: number;
}

export interface Exec {
  /** Run by /bin/sh -c, bytes untouched. */
  command: string;
  /** Seconds. */
  timeout?: number;
  /** Of stdout and stderr in the reply. */
  encoding?: "utf8" | "base64";
}

export interface ExecReply {
  exit_code: number;
  stdout: string;
  stderr: string;
  timed_out?: boolean;
  /** A stream exceeded 8 MiB; the rest was dropped. */
  truncated?: boolean;
}

export interface Done {
  success: true;
  message: string;
}

export interface JobEvent {
  /** Rises within a job. */
  id: number;
  at: string;
  name: string;
  message: string;
  data: Record<string, unknown>;
}

export interface JobEvents {
  events: JobEvent[];
}

export interface EnableAccess {
  /** Port in the VM. 22: SSH, which needs no server in the VM. Another: what the URL of the job leads to. */
  port?: number;
  /** For a URL: whether only links open it. Default: as it was, at first public. */
  private?: boolean;
}

export interface SshAccess {
  success: true;
  port: 22;
  ssh_host: string;
  /** Of this job alone, or that of all jobs: the key tells which is meant. */
  ssh_port: number;
  ssh_user: string;
  /** Ed25519, in OpenSSH's format. The same each time; it ends with the VM and its disk. */
  ssh_private_key: string;
  /** Type and key, as in a line of `known_hosts`: `ssh-ed25519 AAAA…`. */
  ssh_host_key: string;
  /** Of the host key: `SHA256:…`, as ssh shows it. */
  ssh_host_fingerprint: string;
}

export interface HttpAccess {
  success: true;
  port: number;
  url: string;
  subdomain: string;
  private: boolean;
}

export interface SshService {
  /** `false`: this server takes no SSH connections, and the rest is `null`. */
  enabled: boolean;
  host: string | null;
  /** Of all jobs: the user name says which is meant. */
  port: number | null;
  host_key: string | null;
  fingerprint: string | null;
}

export type Access = SshAccess | HttpAccess;

export interface AuditEntry {
  /** Rises with each entry. */
  id: number;
  at: string;
  action: string;
  /** Null: nobody had signed in. */
  account_id: string | null;
  account_email: string | null;
  /** What it was done to: the name of a VM, a key, a token. */
  target: string | null;
  /** Null: on the server's machine, or several. */
  client_address: string | null;
  data: Record<string, string | number | boolean | null>;
}

export interface AuditLog {
  entries: AuditEntry[];
}

export interface UploadedFile {
  file_id: string;
  file_name: string;
  size: number;
}

export interface Uploaded {
  /** Of the first file. */
  file_id: string;
  file_ids: string[];
  files: UploadedFile[];
}

export interface FileInfo {
  type: "file" | "directory" | "symlink" | "fifo" | "socket" | "character_device" | "block_device" | "unknown";
  /** Permission bits, octal. */
  mode: string;
  size: number;
  mtime: string;
  uid: number;
  gid: number;
  /** Of a symbolic link. */
  target?: string;
  /** Where target is not UTF-8. */
  target_base64?: string;
}

export interface FileEntry {
  name: string;
  /** Where name is not UTF-8. */
  name_base64?: string;
  type: "file" | "directory" | "symlink" | "fifo" | "socket" | "character_device" | "block_device" | "unknown";
  /** Permission bits, octal. */
  mode: string;
  size: number;
  mtime: string;
  uid: number;
  gid: number;
  /** Of a symbolic link. */
  target?: string;
  /** Where target is not UTF-8. */
  target_base64?: string;
}

export interface FileWritten {
  size: number;
}

export interface FileList {
  entries: FileEntry[];
}

export interface LogEntry {
  timestamp: string;
  /** stdout: info; stderr: error; platform: debug, or error when it is about lost output. */
  level: "info" | "error" | "debug";
  /** One line without its newline; with `encoding=base64` a piece of output, exactly. */
  message: string;
  source: "stdout" | "stderr" | "system";
}

export interface Logs {
  logs: LogEntry[];
}

export interface UpdateJob {
  /** Empty: none. */
  startup_command?: string;
  /** `true` also wakes a VM that sleeps. */
  no_sleep?: boolean;
  idle_minutes?: number;
  /** Makes the disk larger; nothing is restarted. */
  disk_gb?: number;
  /** In place of those before. */
  labels?: Record<string, string>;
  /** Whether only links open the URL; holds within a second. */
  url_private?: boolean;
}

export interface UpdatedJob {
  success: true;
  message: string;
  request_id: string;
  name: string;
  status: "pending" | "running" | "sleeping" | "completed" | "error";
  workspace_id?: string;
  /** While a VM is attached. */
  vm_id?: string;
  /** Of persistent jobs: 12 hex digits. */
  subdomain?: string;
  /** Once access to a port was asked for, while the VM stays. */
  url?: string;
  /** Where that leads to, in the VM. */
  url_port?: number;
  /** Of persistent jobs: whether only links open the URL. */
  url_private?: boolean;
  /** Once the script ended. */
  exit_code?: number;
  /** With status `error`. */
  error_message?: string;
  /** Once the script ended. */
  script_duration_ms?: number;
  created_at: string;
  started_at?: string;
  completed_at?: string;
  persistent: boolean;
  no_sleep: boolean;
  no_sync: boolean;
  startup_command?: string;
  /** Of persistent jobs. */
  idle_minutes?: number;
  /** When and why the VM last went to sleep (`slept`), woke (`woke`) or was lost (`vm_lost`). */
  last_transition?: {
    name: string;
    reason?: string;
    at: string;
  };
  /** While the VM of a synced workspace stays. */
  sync?: SyncProgress;
  /** While the VM that stays stands still in the middle of a write: why, such as that the host's disk is full. */
  waits_for?: string;
  disk_gb: number;
  vcpus: number;
  memory_mb: number;
  rootfs_type: string;
  egress: "filtered" | "none" | {
    allow: string[];
  };
  labels: Record<string, string>;
}

export interface Synced {
  success: true;
  message: string;
  /** The latest version of the workspace. */
  version: number;
}

export interface Stopped {
  success: true;
  message: string;
  /** `false`: it goes on ending, or waits until its last changes are synced; ask again. */
  stopped: boolean;
}

export interface PoolStatus {
  idle_vms: number;
  busy_vms: number;
  total_vms: number;
  min_pool_size: number;
  /** 0: no hard cap. */
  max_pool_size: number;
  /** Jobs of all accounts that wait for a VM. */
  queued_jobs: number;
  accelerator: "kvm" | "tcg";
  accelerator_reason: string;
}

export interface Usage {
  total_jobs: number;
  vm_seconds: number;
  window_days: number;
  completed_jobs: number;
  running_jobs: number;
  failed_jobs: number;
  /** What synced workspaces take in the object store, as of their latest versions. */
  storage_bytes: number;
  /** To URLs, on the days of the window. */
  url_requests: number;
  /** Of bodies of these requests, and of WebSockets. */
  url_bytes_in: number;
  url_bytes_out: number;
}

export interface Me {
  id: string;
  email: string;
  name: string;
  role: "admin" | "user";
}

export interface SshKey {
  id: string;
  /** No other key of the account has the same. */
  name: string;
  type: string;
  /** `SHA256:` and base64, as `ssh-keygen -l` shows it. */
  fingerprint: string;
  /** As in a `.pub` file, without a comment. */
  public_key: string;
  created_at: string;
  /** Right to a minute; null: never. */
  last_used_at: string | null;
}

export interface SshKeys {
  keys: SshKey[];
}

export interface ChallengeSshKey {
  /** The line of a `.pub` file. */
  public_key: string;
  /** Host, and port where it is not that of the scheme, at which you reach this server, as in its URL. It must be that of `public_url` of its configuration; where there is none, the address that the request comes to. Default: that name. */
  server?: string;
}

export interface SshKeyChallenge {
  challenge: string;
  expires_at: string;
  fingerprint: string;
}

export interface AddSshKey {
  /** Default: the comment of the key. */
  name?: string;
  /** The line of a `.pub` file. */
  public_key: string;
  /** As it was given for this key. */
  challenge: string;
  /** What `ssh-keygen -Y sign -n mags-key` made of the challenge with this key. */
  signature: string;
}

export interface AccessToken {
  id: string;
  name: string;
  /** First characters, to recognize it by. */
  prefix: string;
  created_at: string;
  last_used_at: string | null;
}

export interface NewAccessToken {
  id: string;
  name: string;
  /** First characters, to recognize it by. */
  prefix: string;
  created_at: string;
  last_used_at: string | null;
  /** In clear, this once. */
  token: string;
}

export interface AccessTokens {
  tokens: AccessToken[];
}

export interface CreateAccessToken {
  /** What the token is for. */
  name: string;
}

export interface UrlAlias {
  id: string;
  subdomain: string;
  domain: string;
  /** The address that works at this server. */
  url: string;
  workspace_id: string;
  created_at: string;
  /** When it was last told where to lead. */
  updated_at: string;
  /** Where the server asks a certificate authority for it. */
  certificate?: {
    /** Null: there is none yet. */
    expires_at: string | null;
    /** Why the last try to have one failed; it is tried again. */
    problem: string | null;
  };
}

export interface UrlAliases {
  aliases: UrlAlias[];
  total: number;
}

export interface CreateUrlAlias {
  /** 1 to 63 lower-case letters, digits and dashes, neither first nor last a dash. */
  subdomain: string;
  workspace_id: string;
  /** Default: that of the server's URLs, for which its configured synonyms stand, too. Another: a domain of your own. */
  domain?: string;
}

export interface MoveUrlAlias {
  workspace_id: string;
  /** Default: that of the server's URLs, for which its configured synonyms stand, too. Another: a domain of your own. */
  domain?: string;
}

export interface UrlLink {
  id: string;
  /** It opens the URL only while that leads to this port. */
  port: number;
  created_at: string;
  expires_at: string;
  revoked_at: string | null;
}

export interface CreateUrlLink {
  /** Default: that of the URL. */
  port?: number;
  expires_in_seconds?: number;
}

export interface NewUrlLink {
  id: string;
  /** It opens the URL only while that leads to this port. */
  port: number;
  created_at: string;
  expires_at: string;
  revoked_at: string | null;
  url: string;
  token: string;
}

export interface UrlLinks {
  links: UrlLink[];
  total: number;
}

export interface UrlAccess {
  /** Rises with each entry. */
  id: number;
  /** When it came. */
  at: string;
  host: string;
  client_address: string;
  method: string;
  /** Without what follows `?`, at most 512 characters. */
  path: string;
  /** Of the answer. 101: a WebSocket; 499: the client left before there was one. */
  status: number;
  /** Until the answer had been sent whole, or the WebSocket was over. */
  duration_ms: number;
  /** Of the body, or of the WebSocket. */
  bytes_in: number;
  bytes_out: number;
}

export interface UrlCounters {
  requests: number;
  bytes_in: number;
  bytes_out: number;
  /** `2xx` and the like to requests that were answered so. */
  by_status: Record<string, number>;
  duration_ms_sum: number;
  /** Requests that took at most `le` ms, of those above the bucket before; null: all others. */
  duration_ms_buckets: ({
    le: number | null;
    requests: number;
  })[];
}

export interface UrlTraffic {
  counters: UrlCounters;
  entries: UrlAccess[];
}

export interface WorkspaceBase {
  workspace_id: string;
  version: number;
}

export interface Workspace {
  /** Its name. */
  workspace_id: string;
  /** Same as workspace_id. */
  id: string;
  /** The latest one; null: it was not synced yet. */
  version: number | null;
  /** What of its disk is in use. */
  size_bytes: number;
  /** What that takes in the object store. */
  stored_bytes: number;
  created_at: string;
  /** When the latest version was made. */
  updated_at: string;
  /** When it was last known to be all in the object store. */
  last_synced_at: string | null;
  /** A live job that works on it. */
  active_request_id: string | null;
  base: WorkspaceBase | null;
  /** Bytes that changed in its VM since the last sync, as far as is known. */
  behind_bytes: number;
  /** Why the last sync failed, or what changed may be unsynced; null when all went well. */
  failure: string | null;
  /** The sync that is under way; null when none is. */
  running: RunningSync | null;
}

export interface WorkspaceVersion {
  /** Rises within a workspace. */
  version: number;
  /** Digest of its manifest. */
  sha256: string;
  created_at: string;
  /** Why it was made: interval, stop, sleep, request, promotion, fork, restore, compaction. */
  reason: string;
  size_bytes: number;
  stored_bytes: number;
  /** Size of the disk. */
  disk_bytes: number;
}

export interface Workspaces {
  workspaces: Workspace[];
  total: number;
}

export interface WorkspaceVersions {
  workspace_id: string;
  versions: WorkspaceVersion[];
  total: number;
}

export interface FileChange {
  /** From the root, without a slash at its beginning. */
  path: string;
  /** Its bytes, where they are not UTF-8. */
  path_base64?: string;
  change: "added" | "removed" | "changed";
  /** What of it changed. Empty for what was added or removed, and for a file of the image that only one of the versions has changed: the other does not have how it is there. */
  parts: ("type" | "content" | "target" | "mode" | "owner" | "time" | "attributes")[];
  /** As it is after, or was before it was removed; null: a file of the image. */
  type: "file" | "directory" | "symlink" | "character" | "block" | "fifo" | "socket" | null;
  /** Of files. */
  size_before: number | null;
  size_after: number | null;
}

export interface WorkspaceDiff {
  workspace_id: string;
  version: number;
  with: number;
  /** By the bytes of their paths, a folder before what is in it. */
  changes: FileChange[];
  /** There are more: to be sent as `after`. Null: that was all. */
  next: string | null;
}

export interface RestoreWorkspace {
  version: number;
}

export interface RestoredWorkspace {
  success: true;
  message: string;
  /** The new version. */
  version: number;
}

import type { AuditAction, EgressPolicy, JobStatus } from "@mags/domain";
import type { ColumnType, Generated, GeneratedAlways } from "kysely";
import type { AuditData } from "../app/audit-entry.ts";
import type { SandboxState, SandboxTransition } from "../app/sandbox.ts";

/** jsonb: read as a value, written as JSON text. */
type Json<T> = ColumnType<T, string, string>;
type StringMap = Readonly<Record<string, string>>;

/** The tables as the migrations leave them. Times are `timestamptz`. */
export interface Tables {
  readonly installation: { readonly singleton: GeneratedAlways<boolean>; readonly id: string; readonly epoch: number };
  readonly accounts: {
    readonly id: string;
    readonly email: string;
    readonly name: string;
    readonly role: "admin" | "user";
    readonly bootstrap: boolean;
    readonly created_at: Date;
  };
  readonly access_tokens: {
    readonly id: string;
    readonly account_id: string;
    readonly name: string;
    readonly prefix: string;
    readonly hash: Buffer;
    readonly created_at: Date;
    readonly last_used_at: Date | null;
  };
  readonly account_ssh_keys: {
    readonly id: string;
    readonly account_id: string;
    readonly name: string;
    readonly type: string;
    readonly blob: Buffer;
    readonly fingerprint: string;
    readonly created_at: Date;
    readonly last_used_at: ColumnType<Date | null, null | undefined, Date>;
  };
  /** What is to be signed to show that a key is one's own; removed when it was. */
  readonly ssh_key_challenges: {
    readonly challenge: string;
    readonly account_id: string;
    readonly fingerprint: string;
    readonly expires_at: Date;
  };
  readonly jobs: {
    /** Order of creation. */
    readonly seq: GeneratedAlways<number>;
    readonly id: string;
    readonly account_id: string;
    readonly name: string;
    readonly status: JobStatus;
    readonly command_kind: "inline" | "url";
    /** The script, or its address. Up to 1 MiB: never selected by lists. */
    readonly script: string;
    readonly environment: Json<StringMap>;
    readonly image: string;
    readonly vcpus: number;
    readonly memory_mib: number;
    readonly disk_gib: number;
    readonly egress: Json<EgressPolicy>;
    readonly timeout_ms: number | null;
    readonly labels: Json<StringMap>;
    readonly no_sync: boolean;
    readonly file_ids: readonly string[];
    readonly micro_vm_id: string | null;
    readonly exit_code: number | null;
    readonly error_message: string | null;
    readonly script_duration_ms: number | null;
    readonly created_at: Date;
    readonly started_at: Date | null;
    readonly completed_at: Date | null;
    readonly stop_requested_at: Date | null;
    readonly workspace_id: string | null;
    readonly persistent: boolean;
    readonly no_sleep: boolean;
    readonly startup_command: string | null;
    readonly idle_minutes: number | null;
    /** Its script only keeps the microVM alive. */
    readonly endless: boolean;
    /** Null: it has a microVM of its own. */
    readonly sandbox_id: string | null;
    /** Its start makes the sandbox. */
    readonly makes_sandbox: boolean;
    /** The sandbox lives as long as it does; it is or was `sandboxes.owner_job_id`. */
    readonly owns_sandbox: boolean;
    /** Of an owner: it lives on without its script. */
    readonly script_ended_at: Date | null;
  };
  /** At most one of a workspace is neither ended nor about to be. */
  readonly sandboxes: {
    readonly id: string;
    readonly account_id: string;
    readonly workspace_id: string | null;
    readonly subdomain: string;
    /** It sleeps when it is idle, also without an owner; else it is released. */
    readonly kept: boolean;
    readonly owner_job_id: string | null;
    readonly state: SandboxState;
    readonly micro_vm_id: string | null;
    readonly image: string;
    readonly vcpus: number;
    readonly memory_mib: number;
    readonly disk_gib: number;
    readonly egress: Json<EgressPolicy>;
    readonly last_transition: ColumnType<SandboxTransition | null, string | null, string | null>;
    readonly created_at: Date;
    readonly release_requested_at: Date | null;
    readonly ended_at: Date | null;
    /** The workspace whose versions its disk is published as; of those that have not ended, one a workspace. */
    readonly syncs_to: string | null;
    /** The version that its disk was made from: all four or none. */
    readonly from_workspace_id: string | null;
    readonly from_name: string | null;
    readonly from_seq: number | null;
    readonly from_sha256: string | null;
    /** Since then its disk has all of that version, and the version need not be kept for it. */
    readonly hydrated_at: Date | null;
    /** In it, what its URLs lead to; null: nobody has said. */
    readonly http_port: ColumnType<number | null, null | undefined, number | null>;
    readonly url_private: ColumnType<boolean, boolean | undefined, boolean>;
  };
  readonly url_aliases: {
    readonly id: string;
    readonly account_id: string;
    readonly domain: string;
    readonly subdomain: string;
    readonly workspace_id: string;
    readonly created_at: Date;
    readonly updated_at: Date;
  };
  /** What opens the URL of a sandbox that is private. */
  readonly url_links: {
    readonly id: string;
    readonly sandbox_id: string;
    readonly port: number;
    readonly created_at: Date;
    readonly expires_at: Date;
    readonly revoked_at: ColumnType<Date | null, null | undefined, Date>;
  };
  readonly url_accesses: {
    readonly id: GeneratedAlways<number>;
    readonly sandbox_id: string;
    readonly at: Date;
    readonly host: string;
    readonly client_address: string;
    readonly method: string;
    readonly path: string;
    readonly status: number;
    readonly duration_ms: number;
    readonly bytes_in: number;
    readonly bytes_out: number;
  };
  /** Of a sandbox and day, by the first digit of the status and the bucket of the duration. */
  readonly url_traffic: {
    readonly sandbox_id: string;
    readonly account_id: string;
    readonly day: Date;
    readonly status_class: number;
    readonly bucket: number;
    readonly requests: number;
    readonly bytes_in: number;
    readonly bytes_out: number;
    readonly duration_ms: number;
  };
  readonly url_certificates: {
    readonly host: string;
    readonly certificate: ColumnType<string | null, string | null | undefined, string>;
    readonly sealed_key: ColumnType<Buffer | null, Buffer | null | undefined, Buffer>;
    readonly issued_at: ColumnType<Date | null, Date | null | undefined, Date>;
    readonly expires_at: ColumnType<Date | null, Date | null | undefined, Date>;
    readonly tried_at: Date;
    readonly failures: number;
    readonly problem: string | null;
  };
  /** Outlive what is known of the host: an alias that is removed and made again gets no more of them. */
  readonly url_certificate_tries: {
    readonly host: string;
    /** It may be gone since. Null: from before this was kept. */
    readonly account_id: string | null;
    readonly tried_at: Date;
    readonly issued: Generated<boolean>;
  };
  /** What is to be answered to whoever checks a host. */
  readonly url_challenges: {
    readonly host: string;
    readonly token: string;
    readonly answer: string;
  };
  readonly url_batches: {
    readonly id: string;
    readonly at: Date;
  };
  /** Of an account at most one of a name is not deleted. */
  readonly workspaces: {
    readonly id: string;
    readonly account_id: string;
    readonly name: string;
    /** That its disk is made for. */
    readonly image: string;
    readonly created_at: Date;
    readonly updated_at: Date;
    /** The latest version; null: it was never synced. */
    readonly seq: number | null;
    readonly sha256: string | null;
    readonly disk_bytes: ColumnType<number, number | undefined, number>;
    readonly data_bytes: ColumnType<number, number | undefined, number>;
    readonly stored_bytes: ColumnType<number, number | undefined, number>;
    readonly last_synced_at: Date | null;
    readonly forked_from_id: string | null;
    readonly forked_from_name: string | null;
    readonly forked_from_seq: number | null;
    /** An older version is being made the newest: nobody may open it. */
    readonly restoring_at: ColumnType<Date | null, null | undefined, Date | null>;
    readonly deleted_at: ColumnType<Date | null, null | undefined, Date>;
    /** The node has been told of its deletion. */
    readonly removed_at: ColumnType<Date | null, null | undefined, Date>;
  };
  /** When sandboxes had a microVM. */
  readonly awake_periods: {
    readonly sandbox_id: string;
    readonly account_id: string;
    readonly began_at: Date;
    readonly ended_at: Date | null;
  };
  /** Sealed: see `app/sealing.ts`. */
  readonly installation_secrets: { readonly name: string; readonly sealed: Buffer; readonly created_at: Date };
  /** Of sandboxes that have not ended. */
  readonly sandbox_ssh: {
    readonly sandbox_id: string;
    readonly fingerprint: string;
    readonly sealed_key: Buffer;
    /** Its own; null: it is reached by that of all. */
    readonly port: number | null;
    readonly created_at: Date;
  };
  /** Ports of sandboxes that ended a short time ago. */
  readonly retired_ports: { readonly port: number; readonly retired_at: Date };
  readonly uploads: {
    readonly id: string;
    readonly account_id: string;
    readonly name: string;
    readonly size_bytes: number;
    readonly created_at: Date;
  };
  /** Rows are added and never changed. */
  readonly job_events: {
    readonly id: GeneratedAlways<number>;
    readonly job_id: string;
    readonly at: Date;
    readonly name: string;
    readonly data: Json<Readonly<Record<string, unknown>>>;
    /** Makes a repeated insert of the same report harmless. */
    readonly report_id: string | null;
  };
  /** Rows are added, and removed when they are old. */
  readonly audit_log: {
    readonly id: GeneratedAlways<number>;
    /** Makes a repeated insert harmless. */
    readonly note_id: string;
    readonly at: Date;
    readonly account_id: string | null;
    readonly action: AuditAction;
    readonly target: string | null;
    readonly client_address: string | null;
    readonly data: Json<AuditData>;
  };
}

/** What `magsd status` shows, as the server reports it on its control socket. */
export type ServerStatus = {
  readonly pid: number;
  readonly version: string;
  readonly started_at: string;
} & (NotRunning | Running | RunningEdge);

interface NotRunning {
  readonly state: "starting" | "stopping";
  readonly ready: false;
}

interface Running {
  readonly state: "running";
  readonly role: "all";
  /** Jobs can be served now. */
  readonly ready: boolean;
  /** By part: `ok`, or what is wrong. Without `ssh` jobs are served all the same. */
  readonly checks: Readonly<Record<string, string>>;
  readonly api_url: string;
  /** Null: there is none. `host` is what clients are told, `fingerprint` that of the host key. */
  readonly ssh: Ssh | null;
  /** Null: none can connect. `connected`: their addresses. */
  readonly edges: { readonly port: number; readonly connected: readonly string[] } | null;
  readonly accelerator: "kvm" | "tcg";
  readonly accelerator_reason: string;
  readonly pool: {
    readonly idle_vms: number;
    readonly busy_vms: number;
    readonly min_pool_size: number;
    readonly queued_jobs: number;
  };
  readonly database: { readonly kind: "embedded" | "external"; readonly pid: number | null };
}

interface RunningEdge {
  readonly state: "running";
  readonly role: "edge";
  /** Its server can be reached, and its gateway is open. */
  readonly ready: boolean;
  readonly checks: Readonly<Record<string, string>>;
  /** Host and port of its server. */
  readonly upstream: string;
  /** Null: it has not reached its server yet. */
  readonly ssh: Ssh | null;
}

interface Ssh {
  readonly host: string;
  readonly port: number;
  readonly fingerprint: string;
  /** Why nobody can sign in; null: clients can. */
  readonly problem: string | null;
}

/** What is wrong with a server, for people. */
export function problemsOf({ checks }: Pick<Running, "checks">): string {
  const failed = Object.entries(checks).filter(([, result]) => result !== "ok");
  return failed.map(([name, result]) => `${name}: ${result}`).join("; ");
}

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
  /** By part: `ok`, or what is wrong. Without `ssh` and `urls` jobs are served all the same. */
  readonly checks: Readonly<Record<string, string>>;
  readonly api_url: string;
  /** Null: there is none. `host` is what clients are told, `fingerprint` that of the host key. */
  readonly ssh: SshStatus | null;
  readonly urls: UrlStatus | null;
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
  /** Both null: it has not reached its server yet. One: it is off. */
  readonly ssh: SshStatus | null;
  readonly urls: UrlStatus | null;
}

export interface SshStatus {
  readonly host: string;
  readonly port: number;
  readonly fingerprint: string;
  /** Why nobody can sign in; null: clients can. */
  readonly problem: string | null;
}

/** Where it listens for URLs, and what clients are told. */
export interface UrlStatus {
  readonly port: number;
  /** Without TLS, beside it. */
  readonly plain_port: number | null;
  readonly scheme: "http" | "https";
  /** Null: the one of its server. */
  readonly domain: string | null;
  readonly public_port: number;
  /** Why nobody is served; null: clients are. */
  readonly problem: string | null;
  /** Why certificates are shown that are not those of the files. */
  readonly certificate_problem: string | null;
  /** When the first certificate of the files ends; null: there are none. Times are in ISO 8601. */
  readonly certificates_end: string | null;
  /** Null: none are asked for by ACME, or its server does so; the database is away. */
  readonly acme: AcmeStatus | null;
}

/** How the names of aliases stand that certificates are asked for by ACME. */
export interface AcmeStatus {
  /** Names that have one that holds, one that has ended, none yet. */
  readonly valid: number;
  readonly expired: number;
  readonly missing: number;
  /** The one of those that hold that ends first. */
  readonly first_end: { readonly host: string; readonly at: string } | null;
  /** Of all: names whose last try failed, and the newest of these failures. */
  readonly failing: number;
  readonly newest_failure: { readonly host: string; readonly at: string; readonly problem: string } | null;
  /** Of these: names whose certificate has ended or ends within 14 days, and the one that ends first, `at`. */
  readonly ending: number;
  readonly first_ending: { readonly host: string; readonly at: string; readonly problem: string } | null;
}

/** What is wrong with a server, for people. */
export function problemsOf({ checks }: Pick<Running, "checks">): string {
  const failed = Object.entries(checks).filter(([, result]) => result !== "ok");
  return failed.map(([name, result]) => `${name}: ${result}`).join("; ");
}

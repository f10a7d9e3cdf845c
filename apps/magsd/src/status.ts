/** What `magsd status` shows, as the server reports it on its control socket. */
export type ServerStatus = {
  readonly pid: number;
  readonly version: string;
  readonly started_at: string;
} & (NotRunning | Running);

interface NotRunning {
  readonly state: "starting" | "stopping";
  readonly ready: false;
}

interface Running {
  readonly state: "running";
  /** Jobs can be served now. */
  readonly ready: boolean;
  /** By what must work for that: `ok`, or what is wrong. */
  readonly checks: Readonly<Record<string, string>>;
  readonly api_url: string;
  /** Null: there is none. `host` is what clients are told, `fingerprint` that of the host key. */
  readonly ssh: { readonly host: string; readonly port: number; readonly fingerprint: string } | null;
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

/** What is wrong with a server that is not ready, for people. */
export function problemsOf({ checks }: Pick<Running, "checks">): string {
  const failed = Object.entries(checks).filter(([, result]) => result !== "ok");
  return failed.map(([name, result]) => `${name}: ${result}`).join("; ");
}

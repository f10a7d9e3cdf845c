/** What `magsd status` shows, as the server reports it on its control socket. */
export interface ServerStatus {
  readonly pid: number;
  readonly version: string;
  readonly api_url: string;
  readonly started_at: string;
  readonly ready: boolean;
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

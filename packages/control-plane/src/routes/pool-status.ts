import { ROUTES } from "@mags/api-schema";
import { type BoundRoute, bind } from "../http/route.ts";
import type { RouteDeps } from "./deps.ts";

export function poolStatusRoute({ node, queue }: RouteDeps): BoundRoute {
  return bind(ROUTES.poolStatus, async () => {
    const pool = node.poolStatus();
    const { accelerator, acceleratorReason } = node.describe();
    return {
      idle_vms: pool.idle,
      busy_vms: pool.busy,
      total_vms: pool.idle + pool.busy,
      min_pool_size: pool.minIdle,
      max_pool_size: pool.max,
      queued_jobs: queue.waiting + pool.queued,
      accelerator,
      accelerator_reason: acceleratorReason,
    };
  });
}

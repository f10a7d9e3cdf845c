import { MOST_USAGE_DAYS } from "@mags/domain";
import { z } from "zod";
import { route } from "./route.ts";

export const PoolStatus = z
  .object({
    idle_vms: z.int(),
    busy_vms: z.int(),
    total_vms: z.int(),
    min_pool_size: z.int(),
    max_pool_size: z.int().describe("0: no hard cap."),
    queued_jobs: z.int().describe("Jobs of all accounts that wait for a VM."),
    accelerator: z.enum(["kvm", "tcg"]),
    accelerator_reason: z.string(),
  })
  .meta({ id: "PoolStatus" });

export const poolStatus = route({
  method: "GET",
  path: "/mags-jobs/pool-status",
  summary: "Numbers of the VM pool",
  auth: "account",
  responses: { 200: PoolStatus },
  errors: [],
});

export const Usage = z
  .object({
    total_jobs: z.int(),
    vm_seconds: z.number(),
    window_days: z.int(),
    completed_jobs: z.int(),
    running_jobs: z.int(),
    failed_jobs: z.int(),
    storage_bytes: z.int().describe("What synced workspaces take in the object store, as of their latest versions."),
    url_requests: z.int().describe("To URLs, on the days of the window."),
    url_bytes_in: z.int().describe("Of bodies of these requests, and of WebSockets."),
    url_bytes_out: z.int(),
  })
  .meta({ id: "Usage" });

export const usage = route({
  method: "GET",
  path: "/mags-jobs/usage",
  summary: "Summary of what the account used",
  auth: "account",
  query: z.object({ window_days: z.coerce.number().int().min(1).max(MOST_USAGE_DAYS).default(30) }),
  responses: { 200: Usage },
  errors: [],
});

export const Me = z
  .object({ id: z.uuid(), email: z.string(), name: z.string(), role: z.enum(["admin", "user"]) })
  .meta({ id: "Me" });

export const me = route({
  method: "GET",
  path: "/me",
  summary: "The account of the token",
  auth: "account",
  responses: { 200: Me },
  errors: [],
});

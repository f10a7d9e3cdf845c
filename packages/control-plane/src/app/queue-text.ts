/** What users read of the queue: why a job waits, why it was refused, why it ended without a VM. */
import { AppError } from "@mags/core";
import type { AccountLimits, ExceededLimit, WaitReason } from "@mags/domain";

/** Names of the limits in the API and in the configuration. */
export const LIMIT_NAMES: Readonly<Record<keyof AccountLimits, string>> = {
  vms: "vms",
  vcpus: "vcpus",
  memoryMiB: "memory_mb",
  diskGiB: "disk_gb",
};

const THINGS: Readonly<Record<keyof AccountLimits, string>> = {
  vms: "VMs",
  vcpus: "vCPUs",
  memoryMiB: "MiB of memory",
  diskGiB: "GiB of disk",
};

/** There is no knowing when a place gets free: soon enough to take it, seldom enough to cost nothing. */
const RETRY_AFTER_SECONDS = 5;

/** In the words that follow "waits for a VM:". */
export function waitText({ exceeded, ahead }: WaitReason): string {
  const what = exceeded
    ? `jobs of this account have ${exceeded.taken} of ${exceeded.most} ${THINGS[exceeded.limit]}`
    : "the server has none free";
  if (ahead > 0) return `${what}, and ${ahead} of the account's jobs ${ahead === 1 ? "comes" : "come"} first`;
  return exceeded && exceeded.limit !== "vms" ? `${what}, and it needs ${exceeded.asked}` : what;
}

export function overdueText(reason: WaitReason, waitedMs: number): string {
  const cure = reason.exceeded
    ? `stop other jobs first, or have limits.account.${LIMIT_NAMES[reason.exceeded.limit]} raised`
    : "submit it again when the server is less busy";
  return `the job got no VM within ${Math.round(waitedMs / 1000)} s: ${waitText(reason)}; ${cure}`;
}

/** For a job that would not fit even if it were the only one of its account. */
export function neverFitsText({ limit, asked, most }: ExceededLimit): string {
  const name = LIMIT_NAMES[limit];
  return `${name}: jobs of an account may take at most ${most} together, not ${asked}: ask for less, or have limits.account.${name} raised`;
}

export function refusal(by: "account" | "server", most: number): AppError {
  const options = { retryAfterSeconds: RETRY_AFTER_SECONDS };
  const wait = most === 1 ? "1 job of this account waits" : `${most} jobs of this account wait`;
  return by === "account"
    ? new AppError(
        "too_many_requests",
        `not accepted: ${wait} for a VM, as many as may: try again when some have started, or stop some`,
        options,
      )
    : new AppError(
        "capacity_exhausted",
        `not accepted: ${most} jobs wait for a VM of this server, as many as may: try again later`,
        options,
      );
}

import { AppError } from "@mags/core";

export const MIN_DISK_GIB = 2;

/** Whether less is asked for than a disk that is there has. */
export function isTooSmall(askedGiB: number | null, hasGiB: number): boolean {
  return askedGiB !== null && Math.max(askedGiB, MIN_DISK_GIB) < hasGiB;
}

export function tooSmall(workspace: string, { asked, has }: { readonly asked: number | null; readonly has: number }) {
  return new AppError(
    "validation_failed",
    `disk_gb: the disk of workspace ${workspace} has ${has} GB and cannot be made smaller, to ${asked}: ask for at least ${has}, or leave disk_gb out`,
  );
}

/** Larger disks of sandboxes, within what their accounts may have. */
import { AppError } from "@mags/core";
import type { ExceededLimit, NodeRuntime } from "@mags/domain";
import type { JobQueue } from "./job-queue.ts";
import { LIMIT_NAMES } from "./queue-text.ts";
import type { Sandbox } from "./sandbox.ts";
import type { SandboxStore } from "./sandbox-store.ts";

export interface DisksDeps {
  readonly sandboxes: SandboxStore;
  readonly node: NodeRuntime;
  readonly queue: () => Pick<JobQueue, "exceededBy" | "resize">;
}

type Sized = Pick<Sandbox, "id" | "size">;

export interface Disks {
  /** @throws AppError `validation_failed` when the account may not have it. */
  check(sandbox: Sized, diskGiB: number): void;
  /** Counts the new size before it asks the node. @throws AppError as `check`, or what the node throws. */
  grow(sandbox: Sized, diskGiB: number): Promise<void>;
}

export function createDisks({ sandboxes, node, queue }: DisksDeps): Disks {
  return {
    check({ id, size }, diskGiB) {
      if (diskGiB <= size.diskGiB) return;
      const exceeded = queue().exceededBy(id, { ...size, diskGiB });
      if (exceeded) throw tooMuch(exceeded, size.diskGiB);
    },
    async grow({ id, size }, diskGiB) {
      const exceeded = queue().resize(id, { ...size, diskGiB });
      if (exceeded) throw tooMuch(exceeded, size.diskGiB);
      try {
        await node.growSandbox(id, { diskGiB });
        await sandboxes.raiseDisk(id, diskGiB);
      } catch (error) {
        queue().resize(id, size);
        throw error;
      }
    },
  };
}

const tooMuch = ({ limit, taken, most }: ExceededLimit, has: number) =>
  new AppError(
    "validation_failed",
    `disk_gb: jobs of this account have ${taken + has} of at most ${most} GB: stop others first, or have limits.account.${LIMIT_NAMES[limit]} raised`,
  );

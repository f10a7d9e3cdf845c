/**
 * A local sandbox is synced from the moment on that the database has it so. Until the node has been told, it would drop
 * the disk as that of a local one, without publishing it.
 */
import { AppError } from "@mags/core";
import type { NodeRuntime, SandboxId } from "@mags/domain";
import type { Policies } from "./policies.ts";
import type { Sandbox } from "./sandbox.ts";

/** The database has that it is synced, and the node does not know. */
export function isUntoldPromotion(node: Pick<NodeRuntime, "observeSandboxes">, sandbox: Sandbox | null): boolean {
  if (!sandbox?.syncsTo || sandbox.state === "gone") return false;
  return node.observeSandboxes().some(({ sandboxId, sync }) => sandboxId === sandbox.id && !sync);
}

/** May be repeated. @throws AppError `unavailable` when the node does not take it. */
export async function tellPromotion(policies: Policies, sandboxId: SandboxId): Promise<void> {
  await policies.push(sandboxId).catch((cause: unknown) => {
    throw new AppError("unavailable", "the node could not take down that it is to be synced", { cause });
  });
}

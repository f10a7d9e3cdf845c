import { randomBytes, randomUUID } from "node:crypto";
import type { SandboxId } from "./sandbox.ts";
import type { WorkspaceId } from "./workspace.ts";

declare const brand: unique symbol;
/** A string that names one kind of thing; the brand exists only in the type system. */
export type Id<Kind extends string> = string & { readonly [brand]: Kind };

export type JobId = Id<"job">;
export type AccountId = Id<"account">;
export type TokenId = Id<"token">;
export type SshKeyId = Id<"ssh-key">;
export type MicroVmId = Id<"microvm">;

const UUID = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/i;

/** True for the exact 8-4-4-4-12 form only: long dashed names are not ids. */
export function isUuid(text: string): boolean {
  return UUID.test(text);
}

export function newJobId(): JobId {
  return randomUUID() as JobId;
}

/** `vm-` and 12 hex digits: short, because it names directories whose socket paths must stay under 108 bytes. */
export function newMicroVmId(): MicroVmId {
  return `vm-${randomBytes(6).toString("hex")}` as MicroVmId;
}

export function newSandboxId(): SandboxId {
  return randomUUID() as SandboxId;
}

export function newWorkspaceId(): WorkspaceId {
  return randomUUID() as WorkspaceId;
}

/** 12 hex digits: the name of a sandbox in addresses. */
export function newSubdomain(): string {
  return randomBytes(6).toString("hex");
}

import type { sshKeys } from "@mags/api-schema";
import type { z } from "zod";
import type { SshKey } from "../app/ssh-key-store.ts";

export function sshKeyToWire(key: SshKey): z.infer<typeof sshKeys.SshKey> {
  return {
    id: key.id,
    name: key.name,
    type: key.type,
    fingerprint: key.fingerprint,
    public_key: `${key.type} ${key.blob.toString("base64")}`,
    created_at: key.createdAt.toISOString(),
    last_used_at: key.lastUsedAt?.toISOString() ?? null,
  };
}

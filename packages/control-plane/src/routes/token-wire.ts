import type { tokens } from "@mags/api-schema";
import type { z } from "zod";
import type { AccessToken } from "../app/account-store.ts";

export function tokenToWire(token: AccessToken): z.infer<typeof tokens.Token> {
  return {
    id: token.id,
    name: token.name,
    prefix: token.prefix,
    created_at: token.createdAt.toISOString(),
    last_used_at: token.lastUsedAt?.toISOString() ?? null,
  };
}

/**
 * What shows a server that it was itself who found somebody: the edge keeps it with him, and cannot make one. It holds as
 * long as the server runs.
 */
import { createHmac, randomBytes, timingSafeEqual } from "node:crypto";
import type { SshUser } from "@mags/domain";
import { z } from "zod";
import { User } from "./messages.ts";

export interface Tickets {
  /** Base64. */
  of(user: SshUser): string;
  holds(user: SshUser, ticket: string): boolean;
}

export function createTickets(): Tickets {
  const key = randomBytes(32);
  const digest = (user: SshUser) =>
    createHmac("sha256", key)
      .update(JSON.stringify(z.encode(User, user)))
      .digest();
  return {
    of: (user) => digest(user).toString("base64"),
    holds(user, ticket) {
      const [given, own] = [Buffer.from(ticket, "base64"), digest(user)];
      return given.length === own.length && timingSafeEqual(given, own);
    },
  };
}

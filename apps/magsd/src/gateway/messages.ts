/**
 * What a server and the process of its gateway tell each other: one JSON object a line. The task goes to the standard input
 * of the process, which ends with it; news come from its standard output. The gateway reads what strangers send: the
 * server takes nothing from it but what is said here.
 */
import { ERROR_STATUS, type ErrorCode } from "@mags/core";
import { z } from "zod";
import type { SshConfig } from "../ssh-config.ts";

/** To the gateway, once. */
export interface GatewayTask {
  /** Where the server serves its gateway. */
  readonly socket: string;
  readonly ssh: SshConfig;
  /** What it is to be once it listens; null: whatever it was started as. */
  readonly uid: number | null;
}

const Code = z.enum(Object.keys(ERROR_STATUS) as [ErrorCode, ...ErrorCode[]]);

export const GatewayNews = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("listening"),
    port: z.int().min(1).max(65_535),
    fingerprint: z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/),
  }),
  z.object({ type: z.literal("failed"), code: Code, message: z.string() }),
  z.object({
    type: z.literal("log"),
    level: z.enum(["debug", "info", "warn", "error"]),
    event: z.string().regex(/^[a-z0-9_]+(\.[a-z0-9_]+)*$/),
    fields: z.record(z.string(), z.unknown()),
  }),
]);
export type GatewayNews = z.infer<typeof GatewayNews>;

/** Of a line. */
export const MOST_NEWS_BYTES = 64 * 1024;

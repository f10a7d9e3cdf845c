/**
 * What a magsd and the process of its gateway tell each other: one JSON object a line. The task goes to the standard input
 * of the process, which ends with it; news come from its standard output. The gateway reads what strangers send: magsd
 * takes nothing from it but what is said here.
 */
import { ERROR_STATUS, type ErrorCode } from "@mags/core";
import type { CertificateFiles } from "@mags/edge";
import { z } from "zod";
import type { SshConfig } from "../ssh-config.ts";
import type { UrlConfig } from "../url-config.ts";

/** To the gateway, first. */
export interface GatewayTask {
  /** The server: the one that has started it, or the one of an edge, which is waited for. */
  readonly upstream:
    | { readonly path: string }
    | { readonly host: string; readonly port: number; readonly secret: string };
  /** Null: SSH is not served. */
  readonly ssh: SshConfig | null;
  /** Null: URLs are not. */
  readonly urls: UrlTask | null;
  /** What it is to be once it listens; null: whatever it was started as. */
  readonly uid: number | null;
}

export interface UrlTask {
  readonly config: UrlConfig;
  /** Of the operator. */
  readonly certificates: readonly CertificateFiles[];
}

/** To the gateway, later. */
export interface GatewayOrder {
  /** To be shown from now on, in place of those of the task. */
  readonly certificates: readonly CertificateFiles[];
}

/** For people: terminals obey control characters. */
const Words = z.string().transform((text) => text.slice(0, 2_000).replaceAll(/[\p{Cc}\p{Cf}\p{Zl}\p{Zp}]/gu, "?"));
const Code = z.enum(Object.keys(ERROR_STATUS) as [ErrorCode, ...ErrorCode[]]);

const Port = z.int().min(1).max(65_535);

export const GatewayNews = z.discriminatedUnion("type", [
  z.object({
    type: z.literal("listening"),
    ssh: z.object({ port: Port, fingerprint: z.string().regex(/^SHA256:[A-Za-z0-9+/]{43}$/) }).nullable(),
    urls: z.object({ port: Port, plainPort: Port.nullable() }).nullable(),
  }),
  /** Every second. */
  z.object({ type: z.literal("alive") }),
  z.object({ type: z.literal("failed"), code: Code, message: Words }),
  /** Whether the server can be reached, when that has changed; null: it can. */
  z.object({ type: z.literal("upstream"), problem: Words.nullable() }),
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

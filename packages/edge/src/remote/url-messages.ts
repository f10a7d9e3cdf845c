/** The JSON of calls about URLs. */
import { Secret } from "@mags/core";
import type { AccountId, UrlAccess } from "@mags/domain";
import { z } from "zod";
import { Guest, uuid } from "./messages.ts";

/** As DNS has them: longer ones are no names of anything. */
const MOST_HOST = 253;
const MOST_PASS = 8_192;
const MOST_PEM = 128 * 1024;
const MOST = { clientAddress: 64, method: 64, path: 512 } as const;

export const Host = z.string().max(MOST_HOST);
const Count = z.int().nonnegative();
const Duration = z.number().nonnegative();

const Visitor = z.object({
  clientAddress: z.string().max(MOST.clientAddress),
  method: z.string().max(MOST.method),
  path: z.string().max(MOST.path),
});
export const Visit = z.object({
  host: Host,
  pass: z.string().max(MOST_PASS).nullable(),
  visitor: Visitor.optional(),
});

export const Route = z.object({
  accountId: uuid<AccountId>(),
  guest: Guest,
  port: z.int().min(1).max(65_535),
  isPrivate: z.boolean(),
  awakeMs: Duration.nullable(),
});

export const Access = z.object({
  /** Rises with what one run of an edge tells. Undefined: the edge is older than it. */
  ordinal: z.int().positive().optional(),
  atMs: Duration,
  host: Host,
  guest: Guest,
  clientAddress: z.string().max(MOST.clientAddress),
  method: z.string().max(MOST.method),
  path: z.string().max(MOST.path),
  status: z.int().min(100).max(999),
  durationMs: Duration,
  bytesIn: Count,
  bytesOut: Count,
});

export const AskedCertificate = z.object({ host: Host });
export const Certificate = z.object({
  certificate: z.string().max(MOST_PEM),
  key: z.codec(z.string().max(MOST_PEM), z.instanceof(Secret), {
    decode: (text) => new Secret(text),
    encode: (secret) => secret.reveal(),
  }),
});

export const AskedChallenge = z.object({ host: Host, token: z.string().max(512) });
export const Challenge = z.string().max(1_024);

/** Whether a directory can be asked for it at all. */
export const isHost = (host: string): boolean => host.length <= MOST_HOST;
export const isPass = (pass: string | null): boolean => pass === null || pass.length <= MOST_PASS;

/** With texts as long as they may be. */
export function accessToWire(access: UrlAccess, { ordinal }: { readonly ordinal: number }): z.input<typeof Access> {
  const { clientAddress, method, path } = access;
  return z.encode(Access, {
    ...{ ...access, ordinal },
    clientAddress: clientAddress.slice(0, MOST.clientAddress),
    method: method.slice(0, MOST.method),
    path: path.slice(0, MOST.path),
  });
}

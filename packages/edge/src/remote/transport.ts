/**
 * TLS with a secret that both ends have, in place of certificates: each proves that it has it before anything else is
 * said. Of what TLS offers with such secrets Node can do TLS 1.2; the cipher has forward secrecy and is one that HTTP/2
 * allows.
 */

import type { Http2Session } from "node:http2";
import type { Socket } from "node:net";
import type { TlsOptions } from "node:tls";
import { AppError, type Secret } from "@mags/core";
import { CONNECTION_WINDOW_BYTES, STREAM_WINDOW_BYTES } from "./protocol.ts";

/** What the secret is called in the handshake; it is sent in the clear. */
export const IDENTITY = "mags-edge-1";

export const TLS = {
  ciphers: "ECDHE-PSK-CHACHA20-POLY1305",
  minVersion: "TLSv1.2",
  maxVersion: "TLSv1.2",
  ALPNProtocols: ["h2"],
} as const satisfies TlsOptions;

export const HANDSHAKE_MS = 10_000;

/** For both ends. Queued output counts as memory of a session: of many calls whose reader is slow, it is a lot. */
export const SESSION = {
  settings: { initialWindowSize: STREAM_WINDOW_BYTES, enablePush: false },
  maxSessionMemory: 512,
} as const;

/** A socket of this machine is as safe as its permissions; nothing is encrypted there. */
export type EdgePlace =
  | { readonly host: string /** 0: one that is free. */; readonly port: number; readonly secret: Secret }
  | { readonly path: string };

export const textOf = (place: EdgePlace): string => ("path" in place ? place.path : `${place.host}:${place.port}`);

export interface Pinging {
  readonly pingMs: number;
}

/** A peer of which nothing comes back for so long is gone, whatever TCP believes. */
export const PINGING: Pinging = { pingMs: 5_000 };
const MOST_UNANSWERED = 3;

const SECRET = /^[0-9a-f]{64}$/;

/** @param secret  32 random bytes, as 64 hexadecimal digits. @throws AppError `validation_failed` when it is none */
export function keyOf(secret: Secret): Buffer {
  if (!SECRET.test(secret.reveal()))
    throw new AppError(
      "validation_failed",
      "the secret of edges is not 64 hexadecimal digits: make one with magsd edge-secret",
    );
  return Buffer.from(secret.reveal(), "hex");
}

/**
 * Widens its window, and ends it when the other side is gone. A session that is over closes with its socket, for which it
 * waits for the other side: ending the socket is what ends it in any case.
 */
export function attend(session: Http2Session, socket: Socket, { pingMs }: Pinging): void {
  session.setLocalWindowSize(CONNECTION_WINDOW_BYTES);
  let unanswered = 0;
  const timer = setInterval(() => {
    if (unanswered >= MOST_UNANSWERED) {
      socket.destroy(new Error(`nothing was heard for ${(MOST_UNANSWERED * pingMs) / 1000} s`));
      return;
    }
    unanswered++;
    if (session.destroyed) return;
    session.ping((error) => {
      if (!error) unanswered = 0;
    });
  }, pingMs);
  session.once("close", () => clearInterval(timer));
}

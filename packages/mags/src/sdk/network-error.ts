import { clientError, type MagsError } from "./errors.ts";

const REASONS: Readonly<Record<string, string>> = {
  ECONNREFUSED: "connection refused",
  ECONNRESET: "the connection was cut",
  EPIPE: "the connection was cut",
  ERR_STREAM_PREMATURE_CLOSE: "the connection was cut",
  ENOTFOUND: "host not found",
  EAI_AGAIN: "the host name could not be looked up",
  EHOSTUNREACH: "no route to the host",
  ENETUNREACH: "no route to the network",
  ETIMEDOUT: "the connection timed out",
};

/** The error of a request that got no reply, or only a part of one. */
export function networkError(error: unknown, apiUrl: string): MagsError {
  const code = codeOf(error);
  const reason = REASONS[code] ?? (error instanceof Error && error.message !== "" ? error.message : code);
  return clientError("unreachable", `cannot reach the Mags server at ${apiUrl}: ${reason}`, error);
}

export function codeOf(error: unknown): string {
  return error instanceof Error && "code" in error ? String(error.code) : "";
}

import { clientError } from "./errors.ts";

/** Where a server started by `magsd start` listens unless configured otherwise. */
export const DEFAULT_API_URL = "http://127.0.0.1:7777";

/**
 * The one form in which addresses are compared and stored: no trailing slash, no `/api/v1`.
 * @param origin  Where the text comes from, for the error.
 * @throws MagsError `invalid_argument` when it is not an http(s) address.
 */
export function normalizeApiUrl(text: string, origin: string): string {
  const url = URL.canParse(text) ? new URL(text) : undefined;
  if (url === undefined || (url.protocol !== "http:" && url.protocol !== "https:"))
    throw clientError("invalid_argument", `${origin} must be an http(s) address such as ${DEFAULT_API_URL}: ${text}`);
  return `${url.origin}${url.pathname.replace(/\/+$/, "").replace(/\/api\/v1$/, "")}`;
}

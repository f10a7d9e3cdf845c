/** What is said where a guest's answer should be: a page to people, JSON to programs. */
import { type AppError, ERROR_STATUS } from "@mags/core";
import { breakOff, type FrontRequest, type FrontResponse, isOver, sendWhole } from "./front-response.ts";
import { OWN_REPLY } from "./headers.ts";

const TITLES: Readonly<Record<number, string>> = {
  400: "This request cannot be understood",
  401: "This page is private",
  403: "This is not passed on",
  404: "There is nothing here",
  409: "This sandbox does not run",
  429: "Too much is asked for",
  502: "The sandbox gives no answer",
  503: "The sandbox cannot be reached",
  504: "The sandbox takes too long",
};

/** Sends it, unless something was sent already: then that breaks off. */
export function replyFailure(from: FrontRequest, to: FrontResponse, error: AppError): void {
  const status = ERROR_STATUS[error.code];
  if (to.headersSent || isOver(to)) {
    breakOff(to);
    return;
  }
  const isForPeople = /\btext\/html\b/.test(`${from.headers.accept ?? ""}`);
  sendWhole(from, to, {
    status,
    headers: {
      [OWN_REPLY]: error.code,
      "content-type": isForPeople ? "text/html; charset=utf-8" : "application/json",
      "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
      ...((status >= 503 || status === 429) && { "retry-after": `${error.retryAfterSeconds ?? 5}` }),
    },
    body: isForPeople
      ? pageOf(status, error.message)
      : `${JSON.stringify({ error: error.message, code: error.code })}\n`,
  });
}

function pageOf(status: number, message: string): string {
  const title = TITLES[status] ?? "Something went wrong";
  return `<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width">
<title>${title}</title>
<style>
body { font: 1rem/1.5 system-ui, sans-serif; max-width: 34rem; margin: 20vh auto 0; padding: 0 1rem; }
p { opacity: .7 }
@media (prefers-color-scheme: dark) { body { background: #111; color: #eee } }
</style>
<h1>${title}</h1>
<p>${escapeHtml(message)}</p>
<p>${status}</p>
`;
}

const escapeHtml = (text: string) => text.replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);

/** What is said where a guest's answer should be: a page to people, JSON to programs. */
import type { ServerResponse } from "node:http";
import { type AppError, ERROR_STATUS } from "@mags/core";
import type { FrontRequest, FrontResponse } from "./ask-guest.ts";

const TITLES: Readonly<Record<number, string>> = {
  400: "This request cannot be understood",
  401: "This page is private",
  404: "There is nothing here",
  409: "This sandbox does not run",
  502: "The sandbox gives no answer",
  503: "The sandbox cannot be reached",
  504: "The sandbox takes too long",
};

/** Sends it, unless something was sent already. @returns the status */
export function replyFailure(from: FrontRequest, to: FrontResponse, error: AppError): number {
  const status = ERROR_STATUS[error.code];
  if (to.headersSent || to.destroyed) {
    to.destroy();
    return status;
  }
  const isForPeople = /\btext\/html\b/.test(`${from.headers.accept ?? ""}`);
  const text = isForPeople
    ? pageOf(status, error.message)
    : `${JSON.stringify({ error: error.message, code: error.code })}\n`;
  const body = Buffer.from(text);
  (to as ServerResponse).writeHead(status, {
    "content-type": isForPeople ? "text/html; charset=utf-8" : "application/json",
    "content-length": body.length,
    "cache-control": "no-store",
    "content-security-policy": "default-src 'none'; style-src 'unsafe-inline'",
    "x-content-type-options": "nosniff",
    ...(status >= 503 && { "retry-after": `${error.retryAfterSeconds ?? 5}` }),
  });
  if (from.method === "HEAD") to.end();
  else to.end(body);
  return status;
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

/** What the answers of HTTP/1.1 and HTTP/2 have in common, where Node has two ways. */
import type { IncomingMessage, OutgoingHttpHeaders, ServerResponse } from "node:http";
import { constants, type Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { grouped, type RawHeaders } from "./headers.ts";

export type FrontRequest = IncomingMessage | Http2ServerRequest;
export type FrontResponse = ServerResponse | Http2ServerResponse;

/** Nobody hears what is said there any more. */
export const isOver = (to: FrontResponse): boolean =>
  to instanceof Http2ServerResponse ? to.stream.destroyed || to.stream.closed : to.destroyed;

/** When it has finished: Node says so of a stream of HTTP/2 however it has ended. */
export const isSentWhole = (to: FrontResponse): boolean =>
  !(to instanceof Http2ServerResponse) || (to.writableEnded && to.stream.rstCode === constants.NGHTTP2_NO_ERROR);

/** Lets the client know that what it got is not all. */
export function breakOff(to: FrontResponse): void {
  if (to instanceof Http2ServerResponse) to.stream.close(constants.NGHTTP2_INTERNAL_ERROR);
  else to.destroy();
}

/** Other bytes are not written; no client needs a reason. */
const REASON = /^[\t\x20-\x7e\x80-\xff]*$/;

/**
 * As it is in the head of a guest's answer. It leaves with the first bytes of the body, or when it is flushed.
 * @throws what Node finds wrong with it
 */
export function writeHead(
  to: FrontResponse,
  head: { readonly status: number; readonly text: string; readonly headers: RawHeaders },
): void {
  if (to instanceof Http2ServerResponse) {
    to.writeHead(head.status, grouped(head.headers));
    return;
  }
  to.sendDate = false;
  to.writeHead(head.status, REASON.test(head.text) ? head.text : "", head.headers as string[]);
}

export function flushHead(to: FrontResponse): void {
  if (!(to instanceof Http2ServerResponse)) to.flushHeaders(); // of HTTP/2 it has left
}

/** An answer of the gateway's own. */
export function sendWhole(
  from: FrontRequest,
  to: FrontResponse,
  {
    status,
    headers,
    body = "",
  }: { readonly status: number; readonly headers: OutgoingHttpHeaders; readonly body?: string },
): void {
  const bytes = Buffer.from(body);
  const common = { "content-length": bytes.length, "cache-control": "no-store", "x-content-type-options": "nosniff" };
  if (!(to instanceof Http2ServerResponse)) to.statusMessage = ""; // of a guest's answer that was none, it may be left
  (to as ServerResponse).writeHead(status, { ...common, ...headers });
  if (from.method === "HEAD") to.end();
  else to.end(bytes);
}

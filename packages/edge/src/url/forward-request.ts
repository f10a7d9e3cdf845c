/** One request of a client, asked of a guest, and its answer: bodies go at the pace of who takes them. */
import { type ClientRequest, type IncomingMessage, request as newRequest, type ServerResponse } from "node:http";
import { Http2ServerRequest, Http2ServerResponse } from "node:http2";
import { pipeline } from "node:stream/promises";
import { AppError, isAppError } from "@mags/core";
import type { GuestAgent, GuestPlace } from "./guest-agent.ts";
import { grouped, type RequestHead, requestHeaders, responseHeaders } from "./headers.ts";

export type FrontRequest = IncomingMessage | Http2ServerRequest;
export type FrontResponse = ServerResponse | Http2ServerResponse;

export interface Forwarding extends RequestHead {
  readonly agent: GuestAgent;
  readonly place: GuestPlace;
  /** For the head of the answer, once the whole request was sent. */
  readonly answerMs: number;
}

/** Of a guest's answer. */
export const MOST_HEADER_BYTES = 64 * 1024;

/**
 * @returns whether the answer was sent whole. When it breaks off, or the client leaves, the client's connection or stream
 *   is reset.
 * @throws AppError why there is no answer: the client was told nothing yet.
 */
export async function forwardRequest(from: FrontRequest, to: FrontResponse, forwarding: Forwarding): Promise<boolean> {
  for (let isAgain = false; ; isAgain = true) {
    const asked = begin(from, forwarding);
    let answer: IncomingMessage;
    try {
      answer = await answerTo(asked, { from, to, answerMs: forwarding.answerMs });
    } catch (error) {
      asked.destroy();
      // What rests may be closed by the guest just as it is used again.
      const isStale = asked.reusedSocket && isGone(error) && !hasBody(from);
      if (isStale && !isAgain && !to.destroyed) continue;
      throw to.destroyed ? new AppError("unavailable", "the client has left") : explain(error);
    }
    return await passOn(answer, to, forwarding);
  }
}

function begin(from: FrontRequest, { agent, place, ...head }: Forwarding): ClientRequest {
  const headers = requestHeaders(from.rawHeaders, head);
  if (from.headers["content-length"] === undefined)
    headers.push(...(hasBody(from) ? ["Transfer-Encoding", "chunked"] : lengthOfNone(from)));
  const asked = newRequest({
    ...{ agent, ...place, method: from.method, path: from.url, headers },
    ...{ setDefaultHeaders: false, setHost: false, maxHeaderSize: MOST_HEADER_BYTES },
  });
  if (!hasBody(from)) return asked.end();
  if (from.headers.expect !== undefined) asked.flushHeaders();
  from.pipe(asked, { end: false });
  from.once("end", () => {
    if (from.rawTrailers.length > 0) asked.addTrailers(grouped(from.rawTrailers));
    asked.end();
  });
  return asked;
}

/** Servers wait for what such requests usually have. */
const lengthOfNone = ({ method }: FrontRequest) =>
  /^(POST|PUT|PATCH)$/.test(method ?? "") ? ["Content-Length", "0"] : [];

export const hasBody = (from: FrontRequest): boolean =>
  from instanceof Http2ServerRequest
    ? !from.stream.endAfterHeaders
    : from.headers["transfer-encoding"] !== undefined || Number(from.headers["content-length"] ?? 0) > 0;

interface Waiting {
  readonly from: FrontRequest;
  readonly to: FrontResponse;
  readonly answerMs: number;
}

async function answerTo(asked: ClientRequest, { from, to, answerMs }: Waiting): Promise<IncomingMessage> {
  const answered = Promise.withResolvers<IncomingMessage>();
  let late: NodeJS.Timeout | undefined;
  const leave = () => answered.reject(new Error("the client has left"));
  const timeOut = () => {
    const message = `the server in the sandbox has not answered for ${answerMs / 1000} s`;
    late = setTimeout(() => answered.reject(new AppError("guest_timeout", message)), answerMs);
  };
  to.once("close", leave);
  asked.once("finish", timeOut);
  asked.on("continue", () => to.writeContinue());
  asked.on("information", ({ statusCode, headers: { link } }) => {
    if (statusCode === 103 && link !== undefined) to.writeEarlyHints({ link });
  });
  asked.once("response", answered.resolve);
  asked.on("error", (error) => {
    answered.reject(error);
    // It has answered, and takes no more.
    from.unpipe(asked);
    from.resume();
  });
  asked.once("close", () => answered.reject(Object.assign(new Error("closed"), { code: "ECONNRESET" })));
  try {
    return await answered.promise;
  } finally {
    clearTimeout(late);
    asked.off("finish", timeOut);
    to.off("close", leave);
  }
}

async function passOn(answer: IncomingMessage, to: FrontResponse, { own }: Forwarding): Promise<boolean> {
  const headers = responseHeaders(answer.rawHeaders, own);
  const status = answer.statusCode ?? 502; // it always has one
  if (to instanceof Http2ServerResponse) to.writeHead(status, grouped(headers));
  else {
    to.sendDate = false;
    to.writeHead(status, answer.statusMessage ?? "", headers);
  }
  answer.once("end", () => {
    if (answer.rawTrailers.length > 0) to.addTrailers(grouped(answer.rawTrailers));
  });
  try {
    if (!(to instanceof Http2ServerResponse)) to.flushHeaders();
    await pipeline(answer, to as NodeJS.WritableStream);
    return true;
  } catch {
    answer.destroy();
    to.destroy();
    return false;
  }
}

const isGone = (error: unknown) => ["ECONNRESET", "EPIPE"].includes((error as NodeJS.ErrnoException).code ?? "");

function explain(error: unknown): AppError {
  if (isAppError(error)) return error;
  const { code = "" } = error as NodeJS.ErrnoException;
  const why = code.startsWith("HPE_HEADER_OVERFLOW")
    ? `more than ${MOST_HEADER_BYTES / 1024} KiB of headers`
    : code.startsWith("HPE_")
      ? "what is not HTTP"
      : undefined;
  const message = why
    ? `the server in the sandbox answered ${why}`
    : "the server in the sandbox closed the connection without an answer";
  return new AppError("bad_gateway", message, { cause: error });
}

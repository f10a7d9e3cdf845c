/** A client's request, asked of its guest, until the head of the answer. */
import { type ClientRequest, type IncomingMessage, request as newRequest } from "node:http";
import { Http2ServerRequest } from "node:http2";
import type { Duplex } from "node:stream";
import { AppError, isAppError } from "@mags/core";
import { type FrontRequest, type FrontResponse, isOver } from "./front-response.ts";
import { gathered } from "./gathered.ts";
import type { GuestAgent, GuestPlace } from "./guest-agent.ts";
import { type RequestHead, requestHeaders, trailers } from "./headers.ts";
import { pour } from "./pour.ts";

export interface Forwarding extends RequestHead {
  readonly agent: GuestAgent;
  readonly place: GuestPlace;
  /** As `targetOf` finds it. */
  readonly target: string;
  /** Bytes of bodies, or of what was made of the connection, that have passed: they are added to it. */
  readonly traffic: Traffic;
  /** For the head of the answer, from when the guest took the last of the request. */
  readonly answerMs: number;
}

export interface Traffic {
  /** From the client. */
  in: number;
  out: number;
}

export interface Answer {
  readonly message: IncomingMessage;
  /** The guest has made its connection what was asked for; the first bytes of that. */
  readonly upgraded?: { readonly stream: Duplex; readonly head: Buffer };
}

/** Of a guest, before it answers. */
const MOST_HINTS = 16;
/** Of a guest's answer. */
const MOST_HEADER_BYTES = 64 * 1024;

/**
 * Its body follows by itself. `isUpgrade`: the guest is asked to make the connection a WebSocket.
 * @throws AppError why there is no answer
 */
export async function askGuest(
  from: FrontRequest,
  to: FrontResponse,
  forwarding: Forwarding,
  { isUpgrade = false }: { readonly isUpgrade?: boolean } = {},
): Promise<Answer> {
  for (let isAgain = false; ; isAgain = true) {
    const asked = begin(from, forwarding, isUpgrade);
    try {
      return await answerTo(asked, { from, to, ...forwarding });
    } catch (error) {
      asked.destroy();
      // What rests may be closed by the guest just as it is used again.
      const isStale = asked.reusedSocket && isGone(error) && SAFE.test(from.method ?? "") && !hasBody(from);
      if (isStale && !isAgain && !isOver(to)) continue;
      throw isOver(to) ? new AppError("unavailable", "the client has left") : explain(error);
    }
  }
}

/** May be asked twice. */
const SAFE = /^(GET|HEAD|OPTIONS|TRACE)$/;

export const hasBody = (from: FrontRequest): boolean =>
  from instanceof Http2ServerRequest
    ? !from.stream.endAfterHeaders
    : from.headers["transfer-encoding"] !== undefined || Number(from.headers["content-length"] ?? 0) > 0;

function begin(
  from: FrontRequest,
  { agent, place, target, traffic, ...head }: Forwarding,
  isUpgrade: boolean,
): ClientRequest {
  const headers = requestHeaders(from.rawHeaders, head);
  if (isUpgrade) headers.push("Connection", "Upgrade", "Upgrade", "websocket");
  else if (from.headers["content-length"] === undefined)
    headers.push(...(hasBody(from) ? ["Transfer-Encoding", "chunked"] : lengthOfNone(from)));
  const asked = newRequest({
    ...{ agent, ...place, method: from.method, path: target, headers },
    ...{ setDefaultHeaders: false, setHost: false, maxHeaderSize: MOST_HEADER_BYTES },
  });
  if (!hasBody(from)) return asked.end();
  if (from.headers.expect !== undefined) asked.flushHeaders();
  // Its first bytes may be long in coming; those that are here leave with the head.
  else setImmediate(() => void (asked.destroyed || asked.flushHeaders()));
  from.on("data", (bytes: Buffer) => {
    traffic.in += bytes.length;
  });
  pour(from, asked);
  from.once("end", () => {
    if (from.rawTrailers.length > 0) asked.addTrailers(trailers(from.rawTrailers));
    asked.end();
  });
  return asked;
}

/** Servers wait for what such requests usually have. */
const lengthOfNone = ({ method }: FrontRequest) =>
  /^(POST|PUT|PATCH)$/.test(method ?? "") ? ["Content-Length", "0"] : [];

interface Waiting {
  readonly from: FrontRequest;
  readonly to: FrontResponse;
  readonly answerMs: number;
}

async function answerTo(asked: ClientRequest, { from, to, answerMs }: Waiting): Promise<Answer> {
  const answered = Promise.withResolvers<Answer>();
  let late: NodeJS.Timeout | undefined;
  const leave = () => answered.reject(new Error("the client has left"));
  /** From when it has a connection, and again with each piece of the request that it takes. */
  const timeOut = () => {
    const message = `the server in the sandbox has not answered for ${answerMs / 1000} s`;
    late = setTimeout(() => answered.reject(new AppError("guest_timeout", message)), answerMs);
  };
  const again = () => late?.refresh();
  const gone = () => answered.reject(Object.assign(new Error("closed"), { code: "ECONNRESET" }));
  to.on("close", leave);
  asked.once("socket", timeOut).on("finish", again).on("close", gone);
  from.on("data", again);
  hearHints(asked, from, to);
  asked.on("response", (message) => answered.resolve({ message: gathered(message, process.nextTick) }));
  asked.on("upgrade", (message, stream, head) => answered.resolve({ message, upgraded: { stream, head } }));
  asked.on("error", (error) => {
    answered.reject(error);
    from.resume(); // it may have answered, and takes no more
  });
  try {
    return await answered.promise;
  } finally {
    clearTimeout(late);
    asked.off("socket", timeOut).off("finish", again).off("close", gone);
    from.off("data", again);
    to.off("close", leave);
  }
}

/** A client that reads nothing does not hold back what a guest says before its answer: that is little, or lost. */
function hearHints(asked: ClientRequest, from: FrontRequest, to: FrontResponse): void {
  let heard = 0;
  asked.once("continue", () => {
    if (from.headers.expect !== undefined) to.writeContinue();
  });
  asked.on("information", ({ statusCode, headers: { link } }) => {
    if (++heard > MOST_HINTS)
      return void asked.destroy(new AppError("bad_gateway", "the server in the sandbox gives hints and no answer"));
    if (statusCode !== 103 || link === undefined) return;
    try {
      to.writeEarlyHints({ link });
    } catch {} // Node takes it for none
  });
}

const isGone = (error: unknown) => ["ECONNRESET", "EPIPE"].includes((error as NodeJS.ErrnoException).code ?? "");

function explain(error: unknown): AppError {
  if (isAppError(error)) return error;
  const { code = "" } = error as NodeJS.ErrnoException;
  const answered = (what: string) => `the server in the sandbox answered ${what}`;
  const message =
    code === "HPE_HEADER_OVERFLOW"
      ? answered(`with more than ${MOST_HEADER_BYTES / 1024} KiB of headers`)
      : code.startsWith("HPE_")
        ? answered("what is not HTTP")
        : "the server in the sandbox closed the connection without an answer, or the sandbox went to sleep or has ended";
  return new AppError("bad_gateway", message, { cause: error });
}

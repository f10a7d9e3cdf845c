/** One request of a client, and its guest's answer: bodies go at the pace of who takes them. */
import type { IncomingMessage } from "node:http";
import { AppError } from "@mags/core";
import { askGuest, type Forwarding, type Traffic } from "./ask-guest.ts";
import {
  breakOff,
  type FrontRequest,
  type FrontResponse,
  flushHead,
  isOver,
  isSentWhole,
  writeHead,
} from "./front-response.ts";
import { responseHeaders, trailers } from "./headers.ts";
import { pour } from "./pour.ts";

/**
 * @returns whether the answer was sent whole. When it breaks off, or the client leaves, the client's connection or stream
 *   is reset.
 * @throws AppError why there is no answer: the client was told nothing yet.
 */
export async function forwardRequest(from: FrontRequest, to: FrontResponse, forwarding: Forwarding): Promise<boolean> {
  const { message, upgraded } = await askGuest(from, to, forwarding);
  if (!upgraded) return await passOn(message, to, forwarding);
  upgraded.stream.destroy();
  throw new AppError("bad_gateway", "the server in the sandbox changed the protocol without being asked");
}

/** @returns as `forwardRequest` */
export async function passOn(
  answer: IncomingMessage,
  to: FrontResponse,
  { own, traffic }: Pick<Forwarding, "own" | "traffic">,
): Promise<boolean> {
  const { statusCode: status = 0, statusMessage: text = "" } = answer;
  if (isOver(to)) {
    answer.destroy(); // just now: nothing is said of it any more
    return false;
  }
  try {
    writeHead(to, { status, text, headers: responseHeaders(answer.rawHeaders, own) });
  } catch (error) {
    answer.destroy();
    throw new AppError("bad_gateway", "the server in the sandbox answered what is not HTTP", { cause: error });
  }
  const over = Promise.withResolvers<boolean>();
  to.on("finish", () => over.resolve(isSentWhole(to))).on("close", () => over.resolve(false));
  answer.on("error", () => {
    breakOff(to);
    over.resolve(false);
  });
  if (answer.complete) passWhole(answer, to, traffic);
  else passPieces(answer, to, traffic);
  const isWhole = await over.promise;
  if (!isWhole) answer.destroy();
  return isWhole;
}

/** All of it is here: its head and body leave in one write. */
function passWhole(answer: IncomingMessage, to: FrontResponse, traffic: Traffic): void {
  const body: Buffer | null = answer.read();
  traffic.out += body?.length ?? 0;
  if (answer.rawTrailers.length > 0) to.addTrailers(trailers(answer.rawTrailers));
  if (body) to.end(body);
  else to.end();
}

/** Its head leaves at once, as the body may be long in coming. */
function passPieces(answer: IncomingMessage, to: FrontResponse, traffic: Traffic): void {
  flushHead(to);
  answer.on("data", (bytes: Buffer) => {
    traffic.out += bytes.length;
  });
  answer.once("end", () => {
    if (answer.rawTrailers.length > 0) to.addTrailers(trailers(answer.rawTrailers));
    to.end();
  });
  pour(answer, to);
}

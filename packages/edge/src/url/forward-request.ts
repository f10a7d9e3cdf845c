/** One request of a client, and its guest's answer: bodies go at the pace of who takes them. */
import type { IncomingMessage } from "node:http";
import { Http2ServerResponse } from "node:http2";
import { pipeline } from "node:stream/promises";
import { AppError } from "@mags/core";
import { askGuest, type Forwarding, type FrontRequest, type FrontResponse } from "./ask-guest.ts";
import { grouped, responseHeaders } from "./headers.ts";

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
  const headers = responseHeaders(answer.rawHeaders, own);
  const status = answer.statusCode ?? 0; // answers have one
  if (to instanceof Http2ServerResponse) to.writeHead(status, grouped(headers));
  else {
    to.sendDate = false;
    to.writeHead(status, answer.statusMessage ?? "", headers);
    to.flushHeaders();
  }
  answer.once("end", () => {
    if (answer.rawTrailers.length > 0) to.addTrailers(grouped(answer.rawTrailers));
  });
  answer.on("data", (bytes: Buffer) => {
    traffic.out += bytes.length;
  });
  try {
    await pipeline(answer, to as NodeJS.WritableStream);
    return true;
  } catch {
    answer.destroy();
    to.destroy();
    return false;
  }
}

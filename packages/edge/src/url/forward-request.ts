/** One request of a client, and its guest's answer: bodies go at the pace of who takes them. */
import type { IncomingMessage } from "node:http";
import { AppError } from "@mags/core";
import { askGuest, type Forwarding } from "./ask-guest.ts";
import { breakOff, type FrontRequest, type FrontResponse, sendHead } from "./front-response.ts";
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
  const { statusCode: status = 0, statusMessage: text = "" } = answer;
  sendHead(to, { status, text, headers: responseHeaders(answer.rawHeaders, own) });
  answer.on("data", (bytes: Buffer) => {
    traffic.out += bytes.length;
  });
  const over = Promise.withResolvers<boolean>();
  answer.once("end", () => {
    if (answer.rawTrailers.length > 0) to.addTrailers(grouped(answer.rawTrailers));
    to.end();
  });
  answer.once("error", () => {
    breakOff(to);
    over.resolve(false);
  });
  to.once("finish", () => over.resolve(true));
  to.once("close", () => over.resolve(false));
  answer.pipe(to, { end: false });
  const isWhole = await over.promise;
  if (!isWhole) answer.destroy();
  return isWhole;
}

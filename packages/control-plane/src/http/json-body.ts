import { isUtf8 } from "node:buffer";
import { AppError, messageOf } from "@mags/core";
import type { FastifyInstance } from "fastify";

/** Reads every body as JSON, whatever its content type says: clients made by hand often forget it. */
export function parseBodiesAsJson(app: FastifyInstance): void {
  app.removeAllContentTypeParsers();
  app.addContentTypeParser("*", { parseAs: "buffer" }, (_request, body, done) => {
    try {
      done(null, parseJson(Buffer.from(body)));
    } catch (error) {
      done(error as AppError);
    }
  });
}

function parseJson(bytes: Buffer): unknown {
  if (bytes.length === 0) return undefined;
  if (!isUtf8(bytes)) throw new AppError("validation_failed", "the body is not UTF-8 text: send JSON");
  try {
    return JSON.parse(bytes.toString());
  } catch (cause) {
    throw new AppError("validation_failed", `the body is not valid JSON: ${messageOf(cause)}`, { cause });
  }
}

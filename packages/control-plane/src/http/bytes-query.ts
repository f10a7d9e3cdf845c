import { AppError } from "@mags/core";

/**
 * A parameter of a query as bytes: percent-encoded ones need not be UTF-8.
 * @returns undefined when there is none of that name; the first of several.
 */
export function bytesOfQuery(rawQuery: string, name: string): Buffer | undefined {
  for (const part of rawQuery.split("&")) {
    const at = part.indexOf("=");
    const key = at < 0 ? part : part.slice(0, at);
    if (percentDecoded(key).toString() === name) return percentDecoded(at < 0 ? "" : part.slice(at + 1));
  }
  return undefined;
}

/** @throws AppError `validation_failed` when it is missing. */
export function requiredBytesOfQuery(rawQuery: string, name: string): Buffer {
  const bytes = bytesOfQuery(rawQuery, name);
  if (!bytes || bytes.length === 0) throw new AppError("validation_failed", `${name}: is required`);
  return bytes;
}

/** As `application/x-www-form-urlencoded`: a plus is a space; a percent sign without two hex digits stands for itself. */
function percentDecoded(text: string): Buffer {
  const pieces = text.replaceAll("+", " ").split(/%([0-9a-f]{2})/i);
  return Buffer.concat(pieces.map((piece, index) => Buffer.from(piece, index % 2 === 0 ? "utf8" : "hex")));
}

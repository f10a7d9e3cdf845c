/** Objects that are one JSON object with a magic and a format: checked before anything of them is believed. */
import type { AppError } from "@mags/core";
import { z } from "zod";

const Format = z.object({ format: z.unknown() });

/**
 * @param bad  Makes the error from what is wrong.
 * @throws what `bad` makes: too long, no JSON, a format that is not `format`, or not of the schema's shape.
 */
export function decodeJsonObject<T>(
  bytes: Buffer,
  schema: z.ZodType<T>,
  {
    maxBytes,
    format,
    bad,
  }: { readonly maxBytes: number; readonly format: number; readonly bad: (why: string) => AppError },
): T {
  if (bytes.length > maxBytes) throw bad(`it has ${bytes.length} bytes`);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw bad("it is no JSON");
  }
  const found = Format.safeParse(json).data?.format;
  if (typeof found === "number" && found !== format) throw bad(`it has format ${found}, and only ${format} is known`);
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw bad(z.prettifyError(parsed.error));
  return parsed.data;
}

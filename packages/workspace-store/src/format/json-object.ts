/** Objects that are one JSON object with a magic and a format: checked before anything of them is believed. */
import type { AppError } from "@mags/core";
import { z } from "zod";

const Format = z.object({ format: z.unknown() });

/** Of what may be whole, and of another version of Mags: it is not to be replaced. */
export const FOREIGN = { foreign: true } as const;
/** What an error is made from. */
type Bad = (why: string, details?: typeof FOREIGN) => AppError;

/** Whether it is not known that the object is damaged; of an error that `bad` made with its details. */
export function isForeign(error: AppError): boolean {
  return error.details.foreign === true;
}

/**
 * @param bad  Makes the error from what is wrong.
 * @throws what `bad` makes: too long, no JSON, a format that is not `format`, or not of the schema's shape.
 */
export function decodeJsonObject<T>(
  bytes: Buffer,
  schema: z.ZodType<T>,
  { maxBytes, format, bad }: { readonly maxBytes: number; readonly format: number; readonly bad: Bad },
): T {
  if (bytes.length > maxBytes) throw bad(`it has ${bytes.length} bytes`, FOREIGN);
  let json: unknown;
  try {
    json = JSON.parse(bytes.toString("utf8"));
  } catch {
    throw bad("it is no JSON");
  }
  const found = Format.safeParse(json).data?.format;
  if (typeof found === "number" && found !== format)
    throw bad(`it has format ${found}, and only ${format} is known`, FOREIGN);
  const parsed = schema.safeParse(json);
  if (!parsed.success) throw bad(z.prettifyError(parsed.error));
  return parsed.data;
}

import { AppError } from "@mags/core";
import { z } from "zod";

/** JSON of the other end. @throws AppError `validation_failed` that names what is wrong */
export function decode<T extends z.ZodType>(schema: T, value: unknown): z.output<T> {
  const result = z.safeDecode(schema, value as z.input<T>);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new AppError("validation_failed", `${issue?.path.join(".") || "the message"}: ${issue?.message}`);
}

/** @throws AppError `validation_failed` for what is no JSON */
export function parseJson(bytes: Buffer): unknown {
  try {
    return JSON.parse(bytes.toString("utf8"));
  } catch (cause) {
    throw new AppError("validation_failed", "the message is not JSON", { cause });
  }
}

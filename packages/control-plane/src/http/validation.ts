import { AppError } from "@mags/core";
import type { z } from "zod";

const MOST_ISSUES = 5;

type RawIssue = Parameters<z.core.$ZodErrorMap>[0];

/**
 * Parses a part of a request.
 * @param part What a message calls the whole, where no field is to blame: `body`, `query`.
 * @throws AppError `validation_failed` that names each field and what is wrong with it.
 */
export function parsePart(schema: z.ZodType, value: unknown, part: string): unknown {
  const result = schema.safeParse(value, { error: issueText });
  if (result.success) return result.data;
  const texts = result.error.issues.slice(0, MOST_ISSUES).map((issue) => describe(issue, part));
  throw new AppError("validation_failed", texts.join("; "));
}

function describe(issue: z.core.$ZodIssue, part: string): string {
  const field = issue.path.length === 0 ? part : issue.path.map(String).join(".");
  // A refused key of a map: the rule it broke is inside.
  const message = issue.code === "invalid_key" ? (issue.issues[0]?.message ?? issue.message) : issue.message;
  return `${field}: ${message}`;
}

/** The texts of rules that have none of their own. */
function issueText(issue: RawIssue): string | undefined {
  switch (issue.code) {
    case "invalid_type":
      if (issue.input === undefined) return "is required";
      return `must be ${withArticle(issue.expected === "int" ? "integer" : issue.expected)}, not ${kindOf(issue.input)}`;
    case "too_big":
      return `must be at most ${issue.maximum}${unitOf(issue.origin)}`;
    case "too_small":
      return `must be ${issue.inclusive === false ? "more than" : "at least"} ${issue.minimum}${unitOf(issue.origin)}`;
    case "invalid_value":
      return `must be one of ${issue.values.map((value) => JSON.stringify(value)).join(", ")}`;
    default:
      return undefined;
  }
}

function unitOf(origin: string): string {
  return origin === "string" ? " characters" : "";
}

function kindOf(value: unknown): string {
  if (value === null) return "null";
  if (Array.isArray(value)) return "an array";
  if (typeof value === "number" && Number.isNaN(value)) return "a text";
  if (typeof value === "number" && !Number.isInteger(value)) return "a fraction";
  return withArticle(typeof value);
}

function withArticle(noun: string): string {
  const name = noun === "record" ? "object" : noun;
  return `${/^[aeiou]/.test(name) ? "an" : "a"} ${name}`;
}

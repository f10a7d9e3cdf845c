import { MagsError } from "./errors.ts";

const MAX_QUOTED_CHARACTERS = 300;

/**
 * The error that a reply other than 2xx stands for.
 * @param retryAfter Its header of that name; times of day are not understood.
 */
export function replyError(
  {
    statusCode,
    text,
    retryAfter,
  }: { readonly statusCode: number; readonly text: string; readonly retryAfter?: string | undefined },
  apiUrl: string,
): MagsError {
  const body = parseJson(text);
  const fields = typeof body === "object" && body !== null ? (body as Readonly<Record<string, unknown>>) : {};
  const message = [fields.error, fields.message].find((value) => typeof value === "string" && value !== "");
  return new MagsError(
    typeof message === "string" ? message : `${apiUrl} answered with HTTP status ${statusCode}${quoted(text)}`,
    {
      statusCode,
      body,
      code: typeof fields.code === "string" ? fields.code : undefined,
      retryAfter: /^\d{1,9}$/.test(retryAfter ?? "") ? Number(retryAfter) : undefined,
    },
  );
}

/** The parsed text, or the text itself where it is not JSON. */
function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function quoted(text: string): string {
  const line = text.replace(/\s+/g, " ").trim();
  if (line === "") return "";
  return `: ${line.length > MAX_QUOTED_CHARACTERS ? `${line.slice(0, MAX_QUOTED_CHARACTERS)}…` : line}`;
}

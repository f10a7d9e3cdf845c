import { z } from "zod";

/** Neither the database nor a command line can hold a NUL character, and UTF-8 has no lone surrogates. */
export function isStorableText(text: string): boolean {
  return !text.includes("\0") && text.isWellFormed();
}

const RULE = "must not contain NUL characters or broken surrogate pairs";

/** A string that can be stored and passed on as it is. */
export function text() {
  return z.string().refine(isStorableText, RULE);
}

import { isUuid } from "./ids.ts";

/** Names of jobs and workspaces: a letter or digit, then up to 62 letters, digits, dots, underscores, dashes. */
export const NAME_PATTERN = /^[a-zA-Z0-9][a-zA-Z0-9._-]{0,62}$/;

/** Path segments that stand where an id or name may stand. */
export const RESERVED_NAMES = ["usage", "pool-status"] as const;

/** A name that could be mistaken for an id or a path of the API. */
export function isReservedName(name: string): boolean {
  return isUuid(name) || (RESERVED_NAMES as readonly string[]).includes(name);
}

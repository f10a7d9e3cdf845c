import picocolors from "picocolors";
import type { Environment } from "../sdk/settings.ts";

export type Styles = Pick<ReturnType<typeof picocolors.createColors>, "bold" | "red" | "green" | "yellow" | "gray">;

/**
 * Colours for one stream: none with `NO_COLOR`, always with `FORCE_COLOR` (but `0`), else on terminals that have them.
 */
export function createStyles(isTerminal: boolean, env: Environment): Styles {
  return picocolors.createColors(wanted(isTerminal, env));
}

function wanted(isTerminal: boolean, { NO_COLOR, FORCE_COLOR, TERM }: Environment): boolean {
  if (NO_COLOR) return false;
  if (FORCE_COLOR !== undefined && FORCE_COLOR !== "") return FORCE_COLOR !== "0";
  return isTerminal && TERM !== "dumb";
}

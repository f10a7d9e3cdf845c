import { Resolver } from "node:dns/promises";
import { withDeadline } from "@mags/core";

/** None of that name, or none of that type: both are answers. */
const NONE = new Set(["ENOTFOUND", "ENODATA"]);
const TRY = { timeout: 1_500, tries: 2 };
/** In all: each try waits longer than the one before, and each server has its tries. */
const DEADLINE_MS = 5_000;

/**
 * Asks for the TXT records of names.
 * @param servers  Numeric addresses, with ports where they are not 53. Undefined: those of this machine.
 * @param options.deadlineMs  Default: 5 s.
 * @returns texts, each put together where it came in pieces. @throws what asking throws, or that there was no answer
 */
export function createTxtLookUp(
  servers: readonly string[] | undefined,
  { deadlineMs = DEADLINE_MS }: { readonly deadlineMs?: number } = {},
): (name: string) => Promise<readonly string[]> {
  return async (name) => {
    const resolver = new Resolver(TRY);
    if (servers) resolver.setServers(servers);
    const late = () => new Error(`no answer about ${name} in ${deadlineMs} ms`);
    try {
      return (await withDeadline(resolver.resolveTxt(name), deadlineMs, late)).map((pieces) => pieces.join(""));
    } catch (error) {
      if (NONE.has((error as NodeJS.ErrnoException).code ?? "")) return [];
      throw error;
    } finally {
      resolver.cancel();
    }
  };
}

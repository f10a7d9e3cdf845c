import { Resolver } from "node:dns/promises";

/** None of that name, or none of that type: both are answers. */
const NONE = new Set(["ENOTFOUND", "ENODATA"]);
const TRY_MS = 2_500;

/**
 * Asks for the TXT records of names.
 * @param servers  Numeric addresses, with ports where they are not 53. Undefined: those of this machine.
 * @returns texts, each put together where it came in pieces. @throws what asking throws, after some 5 s at most
 */
export function createTxtLookUp(servers: readonly string[] | undefined): (name: string) => Promise<readonly string[]> {
  const resolver = new Resolver({ timeout: TRY_MS, tries: 2 });
  if (servers) resolver.setServers(servers);
  return async (name) => {
    try {
      return (await resolver.resolveTxt(name)).map((pieces) => pieces.join(""));
    } catch (error) {
      if (NONE.has((error as NodeJS.ErrnoException).code ?? "")) return [];
      throw error;
    }
  };
}

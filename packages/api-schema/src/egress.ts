import { MAX_ALLOWED_HOSTS, normalizeAllowedHost } from "@mags/domain";
import { z } from "zod";
import { text } from "./text.ts";

const RULE =
  'must be "filtered" (the internet, no private addresses), "none", or {"allow": [...]} with the names of the hosts';

const AllowedHost = text().refine(
  (entry) => normalizeAllowedHost(entry) !== undefined,
  'must be a host name such as pypi.org, or *.pythonhosted.org for all names below one; no address, port or "*" alone',
);

/** Network access of a guest. */
export const Egress = z.union(
  [
    z.enum(["filtered", "none"]),
    z.strictObject({
      allow: z
        .array(AllowedHost)
        .min(1, 'has no entries: use "none" to allow nothing')
        .max(MAX_ALLOWED_HOSTS, `must have at most ${MAX_ALLOWED_HOSTS} entries`),
    }),
  ],
  { error: RULE },
);

import { MAX_ALLOWED_HOSTS, normalizeAllowedHost } from "@mags/domain";
import { z } from "zod";

const RULE =
  'must be "filtered" (the internet, no private addresses), "none", or {"allow": [...]} with the names of the hosts';
const HOST_RULE =
  'must be a host name such as pypi.org, or *.pythonhosted.org for all names below one; no address, port or "*" alone';

/**
 * Network access of a guest. The list is looked at after its form: what is wrong inside one member of a union would be
 * told as what is wrong with the whole.
 */
export const Egress = z
  .union([z.enum(["filtered", "none"]), z.strictObject({ allow: z.array(z.string()) })], { error: RULE })
  .superRefine((egress, context) => {
    if (typeof egress === "string") return;
    const refuse = (message: string, path: (string | number)[] = []) =>
      context.addIssue({ code: "custom", message, path: ["allow", ...path] });
    if (egress.allow.length === 0) refuse('has no entries: use "none" to allow nothing');
    if (egress.allow.length > MAX_ALLOWED_HOSTS) refuse(`must have at most ${MAX_ALLOWED_HOSTS} entries`);
    for (const [at, host] of egress.allow.entries())
      if (normalizeAllowedHost(host) === undefined) refuse(HOST_RULE, [at]);
  });

import type { Fields } from "../protocol/fields.ts";
import { u32 } from "../protocol/options.ts";
import { ALLOCATION_CONTEXT } from "../protocol/values.ts";

/** The number by which replies name `base:allocation`, the one context that there is. */
export const ALLOCATION_ID = 1;

const NAMESPACE = "base:";

/**
 * Reads what contexts a client asks for. Queries for what there is not select nothing.
 * @param options.wildcards  No query, or that of the whole namespace, asks for all there are.
 * @returns `allocation`: the reply's data that tells of `base:allocation`, if it is selected.
 * @throws ProtocolFault
 */
export function selectContexts(
  fields: Fields,
  options: { readonly wildcards: boolean },
): { readonly exportName: string; readonly allocation: Buffer | null } {
  const exportName = fields.countedText();
  const count = fields.u32();
  let selected = options.wildcards && count === 0;
  for (let left = count; left > 0; left--) {
    const query = fields.countedText();
    if (query === ALLOCATION_CONTEXT || (options.wildcards && query === NAMESPACE)) selected = true;
  }
  fields.end();
  const allocation = Buffer.concat([u32(options.wildcards ? 0 : ALLOCATION_ID), Buffer.from(ALLOCATION_CONTEXT)]);
  return { exportName, allocation: selected ? allocation : null };
}

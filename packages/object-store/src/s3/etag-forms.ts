/**
 * How a store wants the etag of a condition: in quotes, as it gives it and RFC 9110 says, or bare, as Ceph up to 18 does,
 * for which no version matches what stands in quotes. Which of them is learnt from the first write that takes place.
 */
import type { Etag } from "../object-store.ts";

export interface EtagForms {
  /** Makes the call with the etag in the form the store wants; while that is not known, in one and then the other. */
  tryForms<T extends { readonly status: number }>(etag: Etag, call: (etag: string) => Promise<T>): Promise<T>;
}

const asGiven = (etag: Etag) => etag;
const bare = (etag: Etag) => etag.replace(/^"(.*)"$/, "$1");

export function createEtagForms(): EtagForms {
  let known: ((etag: Etag) => string) | undefined;
  return {
    async tryForms(etag, call) {
      if (known) return call(known(etag));
      const answer = await call(asGiven(etag));
      if (answer.status === 200) known = asGiven;
      if (answer.status !== 412) return answer;
      // Both forms are the same condition: where it does not hold, the other is refused too.
      const second = await call(bare(etag));
      if (second.status === 200) known = bare;
      return second;
    },
  };
}

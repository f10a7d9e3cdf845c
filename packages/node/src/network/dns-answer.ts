import { isIPv4 } from "node:net";
import { decode } from "dns-packet";

export interface NamedAddresses {
  /** IPv4, without repetition. */
  readonly addresses: readonly string[];
  /** The longest of their times to live. */
  readonly ttlSeconds: number;
}

const MAX_ALIASES = 16;
const MAX_ADDRESSES = 64;
/** In all sections. Whoever serves a name can send thousands, each of which may take 50 µs to read. */
const MAX_RECORDS = 128;
const HEADER_BYTES = 12;
const COUNTS_AT = [6, 8, 10];

/**
 * The addresses that an answer gives a name, by itself or through aliases. Records of other names in the same answer do
 * not count: whoever serves one name has no say about another.
 * @param name  As asked for, lower case.
 * @throws Error when the answer cannot be read.
 */
export function addressesOf(answer: Buffer, name: string): NamedAddresses {
  if (answer.length < HEADER_BYTES) throw new Error("an answer without a header");
  const count = COUNTS_AT.reduce((sum, at) => sum + answer.readUInt16BE(at), 0);
  if (count > MAX_RECORDS) throw new Error(`an answer with ${count} records`);
  const records = (decode(answer).answers ?? []).map((record) => ({ ...record, name: record.name.toLowerCase() }));
  const names = new Set([name]);
  for (let grew = true; grew && names.size <= MAX_ALIASES; ) {
    grew = false;
    for (const record of records) {
      if (record.type !== "CNAME" || !names.has(record.name) || names.has(record.data.toLowerCase())) continue;
      names.add(record.data.toLowerCase());
      grew = true;
    }
  }
  const found = records.flatMap((record) =>
    record.type === "A" && names.has(record.name) ? [{ address: record.data, ttl: record.ttl ?? 0 }] : [],
  );
  // Of a record that ends too early the decoder makes an address that is none.
  if (!found.every(({ address }) => isIPv4(address))) throw new Error("an answer that ends within an address");
  const addresses = [...new Set(found.map(({ address }) => address))].slice(0, MAX_ADDRESSES);
  return { addresses, ttlSeconds: Math.max(0, ...found.map(({ ttl }) => ttl)) };
}

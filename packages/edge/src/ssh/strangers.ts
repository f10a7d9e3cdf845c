/** How many of one address are there who have not signed in: one who comes from many connections keeps nobody else out. */
import { createPlaces, type Places } from "./places.ts";

export function createStrangers(most: number): Places<string> {
  const places = createPlaces<string>(most);
  return { take: (address) => places.take(groupOf(address)) };
}

/** Who has one address of IPv6 has 2^64 of them. */
export function groupOf(address: string): string {
  if (!address.includes(":") || address.includes(".")) return address.replace(/^::ffff:/i, "");
  const [head = "", tail] = address.split("::");
  const groups = head.split(":").filter((group) => group !== "");
  const missing = tail === undefined ? 0 : 8 - groups.length - tail.split(":").filter((group) => group !== "").length;
  const all = [...groups, ...Array<string>(missing).fill("0"), ...(tail ?? "").split(":")];
  return `${all.slice(0, 4).join(":")}::/64`;
}

/** How many of one address are there who have not signed in: one who comes from many connections keeps nobody else out. */
export interface Strangers {
  /** Takes a place. @returns Gives it back, may be repeated; undefined: there is none. */
  take(address: string): (() => void) | undefined;
}

export function createStrangers(most: number): Strangers {
  const counts = new Map<string, number>();
  return {
    take(address) {
      const group = groupOf(address);
      const count = counts.get(group) ?? 0;
      if (count >= most) return undefined;
      counts.set(group, count + 1);
      let isHeld = true;
      return () => {
        if (!isHeld) return;
        isHeld = false;
        const left = (counts.get(group) ?? 1) - 1;
        if (left === 0) counts.delete(group);
        else counts.set(group, left);
      };
    },
  };
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

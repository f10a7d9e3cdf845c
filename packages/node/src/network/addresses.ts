/**
 * Addresses inside a microVM's network namespace. They are the same in every namespace, and part of the template: a
 * clone finds its network as the template left it.
 */
export const GUEST_NETWORK = {
  guestAddress: "10.0.0.2",
  gatewayAddress: "10.0.0.1",
  prefixLength: 30,
  guestMac: "02:6d:61:67:73:02",
  gatewayMac: "02:6d:61:67:73:01",
  /** Below what common uplinks carry (VPNs and cloud networks at 1400 among them), so that no path needs discovery. */
  mtu: 1400,
} as const;

/** Ends of the link between a namespace and the host. */
export const UPLINK = {
  hostMac: "02:6d:61:67:75:01",
  namespaceMac: "02:6d:61:67:75:02",
  /** Next hop inside the namespace; on that link only. */
  nextHop: "169.254.1.1",
} as const;

/** An IPv4 range in CIDR notation, as numbers. */
export interface Cidr {
  readonly base: number;
  readonly prefixLength: number;
}

/** @throws RangeError when `text` is not an IPv4 range like 10.0.0.0/8 whose host bits are zero. */
export function parseCidr(text: string): Cidr {
  const [, address = "", length] = /^([^/]+)\/(\d{1,2})$/.exec(text) ?? [];
  const prefixLength = Number(length);
  const base = parseAddress(address);
  if (Number.isNaN(base) || !(prefixLength <= 32)) throw new RangeError(`${text} is not an IPv4 range like 10.0.0.0/8`);
  const size = 2 ** (32 - prefixLength);
  if (base % size !== 0)
    throw new RangeError(`${text} has host bits set: its first address is ${formatAddress(base - (base % size))}`);
  return { base, prefixLength };
}

/** @returns NaN for what is no IPv4 address in four decimal parts. */
export function parseAddress(text: string): number {
  const octets = /^\d{1,3}(\.\d{1,3}){3}$/.test(text) ? text.split(".").map(Number) : [];
  if (octets.length !== 4 || octets.some((octet) => octet > 255)) return Number.NaN;
  return octets.reduce((value, octet) => value * 256 + octet, 0);
}

export function formatAddress(value: number): string {
  return [24, 16, 8, 0].map((shift) => Math.floor(value / 2 ** shift) % 256).join(".");
}

export function rangesOverlap(one: Cidr, other: Cidr): boolean {
  const size = 2 ** (32 - Math.min(one.prefixLength, other.prefixLength));
  return Math.floor(one.base / size) === Math.floor(other.base / size);
}

/** The n-th address of a range. @throws RangeError beyond its end. */
export function addressIn(range: Cidr, n: number): string {
  if (n < 0 || n >= 2 ** (32 - range.prefixLength)) throw new RangeError(`the range has no address number ${n}`);
  return formatAddress(range.base + n);
}

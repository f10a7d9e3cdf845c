/** The nftables rules, as text: pure, so that what is allowed can be read and tested in one place. */
import { GUEST_NETWORK } from "./addresses.ts";

/**
 * What no guest reaches unless an operator made an exception: ranges that are not the internet (IANA's special-purpose
 * registry, RFC 6890 and its updates), among them every private network and the metadata services.
 */
export const DENIED_RANGES = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "169.254.0.0/16",
  "172.16.0.0/12",
  "192.0.0.0/24",
  "192.0.2.0/24",
  "192.88.99.0/24",
  "192.168.0.0/16",
  "198.18.0.0/15",
  "198.51.100.0/24",
  "203.0.113.0/24",
  "224.0.0.0/4",
  "240.0.0.0/4",
] as const;

export interface NamespaceRules {
  /** Address of the DNS forwarder on the host. */
  readonly dnsAddress: string;
  /** Addresses of the host itself, public ones too. */
  readonly hostAddresses: readonly string[];
  /** Ranges an operator allows although they are private. */
  readonly exceptions: readonly string[];
}

const elements = (ranges: readonly string[]) => (ranges.length > 0 ? `elements = { ${ranges.join(", ")} }` : "");

/** Rules of one microVM's namespace: `tap0` leads to the guest, `up0` to the host. */
export function namespaceRuleset({ dnsAddress, hostAddresses, exceptions }: NamespaceRules): string {
  const { guestAddress, gatewayAddress } = GUEST_NETWORK;
  return `
table ip mags {
  set exceptions { type ipv4_addr; flags interval; auto-merge; ${elements(exceptions)} }
  set denied { type ipv4_addr; flags interval; auto-merge; ${elements([...DENIED_RANGES, ...hostAddresses])} }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    iifname "tap0" ip daddr ${gatewayAddress} meta l4proto { tcp, udp } th dport 53 dnat to ${dnsAddress}
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    ct state established,related accept
    iifname != "tap0" drop
    ip saddr != ${guestAddress} drop
    tcp flags syn tcp option maxseg size set rt mtu
    ip daddr ${dnsAddress} meta l4proto { tcp, udp } th dport 53 accept
    ip daddr @exceptions accept
    ip daddr @denied counter reject with icmp type admin-prohibited
    accept
  }
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "tap0" icmp type echo-request accept
    iifname "tap0" counter reject with icmp type admin-prohibited
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "up0" masquerade
  }
}
table ip6 mags {
  chain forward { type filter hook forward priority filter; policy drop; }
  chain input { type filter hook input priority filter; policy drop; }
}
`;
}

export interface HostRules {
  /** Name of the table: one installation of several on a machine keeps to its own. */
  readonly table: string;
  /** Prefix of the uplink interfaces. */
  readonly interfacePrefix: string;
  readonly uplinkRange: string;
  readonly dnsAddress: string;
  readonly exceptions: readonly string[];
}

/**
 * Rules of the host: from an uplink only DNS and exceptions reach the host, nothing reaches another uplink, the rest is
 * translated. Without named sets: the host's own `nft` may be older than ours, and that of Debian 12 crashes when it
 * lists a set that nftables 1.1 made.
 */
export function hostRuleset({ table, interfacePrefix, uplinkRange, dnsAddress, exceptions }: HostRules): string {
  return `
table ip ${table}
delete table ip ${table}
table ip ${table} {
  chain input {
    type filter hook input priority filter - 5;
    iifname != "lo" iifname != "${interfacePrefix}*" ip daddr ${dnsAddress} drop
    iifname != "${interfacePrefix}*" accept
    ip daddr ${dnsAddress} meta l4proto { tcp, udp } th dport 53 accept
    ${exceptions.map((range) => `ip daddr ${range} accept`).join("\n    ")}
    drop
  }
  chain forward {
    type filter hook forward priority filter - 5;
    iifname "${interfacePrefix}*" oifname "${interfacePrefix}*" drop
    iifname "${interfacePrefix}*" ip saddr != ${uplinkRange} drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr ${uplinkRange} oifname != "${interfacePrefix}*" masquerade
  }
}
`;
}

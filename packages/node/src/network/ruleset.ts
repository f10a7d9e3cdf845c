/** The nftables rules, as text: pure, so that what is allowed can be read and tested in one place. */
import type { EgressPolicy } from "@mags/domain";
import { GUEST_NETWORK } from "./addresses.ts";

/**
 * What no guest reaches unless an operator made an exception: ranges that are not the internet (IANA's special-purpose
 * registry, RFC 6890 and its updates), among them every private network and the metadata services, and the one metadata
 * service at a public address (Azure's).
 */
export const DENIED_RANGES = [
  "0.0.0.0/8",
  "10.0.0.0/8",
  "100.64.0.0/10",
  "127.0.0.0/8",
  "168.63.129.16/32",
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
  /** Ranges an operator denies beside these. */
  readonly denied: readonly string[];
  /** Connections at a time, UDP flows among them. */
  readonly maxConnections: number;
  readonly newConnectionsPerSecond: number;
}

/** Names of what the node reads and writes in a namespace while its guest runs. */
export const TABLE = "mags";
export const ALLOWED_SET = "allowed";
export const DENIALS_SET = "denials";
export const DENIED_COUNTER = "denied_packets";
/** Connections that a cap refused. */
export const OVER_LIMIT_COUNTER = "over_limit";
export const TOO_FAST_COUNTER = "too_fast";

/** Addresses that an allow-list leads to at a time. */
const MAX_ALLOWED_ADDRESSES = 4_096;
/** Destinations whose denials are counted one by one. */
const MAX_COUNTED_DENIALS = 128;
/** More denials than this a second are not answered: a flood is dropped. */
const ANSWERED_DENIALS = { perSecond: 100, burst: 200 } as const;

/** One flow may carry any number of queries, each of which is work for the server. */
const DNS_QUERIES = { perSecond: 200, burst: 400 } as const;

const elements = (ranges: readonly string[]) => (ranges.length > 0 ? `elements = { ${ranges.join(", ")} }` : "");

/**
 * Rules of one microVM's namespace: `tap0` leads to the guest, `up0` to the host. The policy stands in a chain of its
 * own, so that it can be replaced; it begins as `filtered`.
 */
export function namespaceRuleset(rules: NamespaceRules): string {
  const { dnsAddress, hostAddresses, exceptions, denied, maxConnections, newConnectionsPerSecond } = rules;
  const { guestAddress, gatewayAddress } = GUEST_NETWORK;
  const { perSecond, burst } = ANSWERED_DENIALS;
  return `
table ip ${TABLE} {
  set exceptions { type ipv4_addr; flags interval; auto-merge; ${elements(exceptions)} }
  set denied { type ipv4_addr; flags interval; auto-merge; ${elements([...DENIED_RANGES, ...hostAddresses, ...denied])} }
  set ${ALLOWED_SET} { type ipv4_addr; flags timeout; size ${MAX_ALLOWED_ADDRESSES}; }
  set connections { type ipv4_addr; flags dynamic; size 1; }
  counter ${DENIED_COUNTER} { }
  counter ${OVER_LIMIT_COUNTER} { }
  counter ${TOO_FAST_COUNTER} { }
  set ${DENIALS_SET} { type ipv4_addr . inet_proto . inet_service; flags dynamic; size ${MAX_COUNTED_DENIALS}; }
  chain deny {
    counter name ${DENIED_COUNTER}
    meta l4proto { tcp, udp } update @${DENIALS_SET} { ip daddr . meta l4proto . th dport counter }
    meta l4proto != { tcp, udp } update @${DENIALS_SET} { ip daddr . meta l4proto . 0 counter }
    limit rate ${perSecond}/second burst ${burst} packets reject with icmp admin-prohibited
    drop
  }
  chain decide {
${policyRules("filtered", { dnsAddress })}
  }
  chain raw {
    type filter hook prerouting priority raw;
    # What ends here would end connections for this namespace and not for the host.
    iifname "tap0" ip ttl <= 1 drop
  }
  chain prerouting {
    type nat hook prerouting priority dstnat;
    iifname "tap0" ip daddr ${gatewayAddress} meta l4proto { tcp, udp } th dport 53 dnat to ${dnsAddress}
  }
  chain forward {
    type filter hook forward priority filter; policy drop;
    iifname "tap0" ip daddr ${dnsAddress} udp dport 53 limit rate over ${DNS_QUERIES.perSecond}/second burst ${DNS_QUERIES.burst} packets drop
    ct state established,related accept
    iifname != "tap0" drop
    ip saddr != ${guestAddress} drop
    ct state invalid drop
    ct state new add @connections { ip saddr ct count over ${maxConnections} } counter name ${OVER_LIMIT_COUNTER} reject with icmp admin-prohibited
    ct state new limit rate over ${newConnectionsPerSecond}/second burst ${2 * newConnectionsPerSecond} packets counter name ${TOO_FAST_COUNTER} drop
    tcp flags syn tcp option maxseg size set rt mtu
    goto decide
  }
  chain input {
    type filter hook input priority filter; policy drop;
    ct state established,related accept
    iifname "tap0" icmp type echo-request limit rate ${perSecond}/second accept
    iifname "tap0" goto deny
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    oifname "up0" masquerade
  }
}
table ip6 ${TABLE} {
  chain forward { type filter hook forward priority filter; policy drop; }
  chain input { type filter hook input priority filter; policy drop; }
}
`;
}

/**
 * The rules of a policy. Denied ranges come before what an answer of a name server allows: no name leads inside. An
 * operator's exceptions are open under `filtered`; under an allow-list they are open to the names on it.
 */
function policyRules(policy: EgressPolicy, { dnsAddress }: Pick<NamespaceRules, "dnsAddress">): string {
  const dns = `ip daddr ${dnsAddress} meta l4proto { tcp, udp } th dport 53 accept`;
  const rules =
    policy === "none"
      ? ["goto deny"]
      : policy === "filtered"
        ? [dns, "ip daddr @exceptions accept", "ip daddr @denied goto deny", "accept"]
        : [dns, "ip daddr @denied ip daddr != @exceptions goto deny", `ip daddr @${ALLOWED_SET} accept`, "goto deny"];
  return rules.map((rule) => `    ${rule}`).join("\n");
}

/** Replaces the policy of a namespace, in one step. */
export function policyReplacement(policy: EgressPolicy, options: Pick<NamespaceRules, "dnsAddress">): string {
  return `
flush chain ip ${TABLE} decide
flush set ip ${TABLE} ${ALLOWED_SET}
table ip ${TABLE} {
  chain decide {
${policyRules(policy, options)}
  }
}
`;
}

/** Allows addresses for some seconds, from now on even where they are allowed already. */
export function allowance(addresses: readonly string[], seconds: number): string {
  const add = `add element ip ${TABLE} ${ALLOWED_SET} { ${addresses.map((address) => `${address} timeout ${seconds}s`).join(", ")} }`;
  // An element that is there keeps its old time on kernels before 6.12, so it is taken out in between.
  return `${add}\ndelete element ip ${TABLE} ${ALLOWED_SET} { ${addresses.join(", ")} }\n${add}\n`;
}

export interface HostRules {
  /** Name of the table: one installation of several on a machine keeps to its own. */
  readonly table: string;
  /** Prefix of the uplink interfaces. */
  readonly interfacePrefix: string;
  readonly uplinkRange: string;
  readonly dnsAddress: string;
  readonly exceptions: readonly string[];
  /** Of all guests together, at a time. */
  readonly maxConnections: number;
}

/**
 * Rules of the host: from an uplink only DNS and exceptions reach the host, nothing reaches another uplink, the rest is
 * translated. Without named sets: the host's own `nft` may be older than ours, and that of Debian 12 crashes when it
 * lists a set that nftables 1.1 made.
 */
export function hostRuleset(rules: HostRules): string {
  const { table, interfacePrefix, uplinkRange, dnsAddress, exceptions, maxConnections } = rules;
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
    iifname "${interfacePrefix}*" ct state new ct count over ${maxConnections} drop
  }
  chain postrouting {
    type nat hook postrouting priority srcnat;
    ip saddr ${uplinkRange} oifname != "${interfacePrefix}*" masquerade
  }
}
`;
}

/**
 * Egress policies of guests: the rules of their namespaces and what the name service does for them. An allow-list names
 * hosts; the addresses that the name service gives for these are allowed for as long as the answer may be used, and
 * nothing else is. Nobody but the forwarder on this host can be asked, as no other server's address is allowed.
 */
import { AppError, type Clock, sleep } from "@mags/core";
import { allowsHost, type EgressPolicy } from "@mags/domain";
import { type Allowance, createAllowance } from "../allowance.ts";
import { addressesOf } from "./dns-answer.ts";
import type { GuestDnsRules } from "./dns-forwarder.ts";
import { askedName, refusal } from "./dns-message.ts";
import { type Denial, type NamespaceRulesEditor, OTHER_DESTINATIONS } from "./namespace-rules.ts";

export interface Egress {
  /** Puts a policy in force for a microVM that nothing ran in yet. */
  apply(index: number, policy: EgressPolicy): Promise<void>;
  /** Puts another policy in force for a microVM that runs; its open connections go on. */
  change(index: number, policy: EgressPolicy): Promise<void>;
  /** For a microVM of an earlier process, whose namespace has its rules already. */
  restore(index: number, policy: EgressPolicy): void;
  /** The microVM is gone, and its number will be another's. */
  forget(index: number): void;
  /** What the guest was denied since `apply`, by address and by name; a destination may stand there with a count of 0. */
  denials(index: number): Promise<readonly Denial[]>;
  /** Nothing for guests that may ask for any name. */
  dnsRules(index: number): GuestDnsRules | undefined;
}

/** Programs keep an answer a little longer than they should. */
const LEAST_SECONDS = 60;
const MOST_SECONDS = 86_400;
const MAX_DENIED_NAMES = 128;
const CHANGES = { perSecond: 10, burst: 50 } as const;

interface Guest {
  readonly policy: Exclude<EgressPolicy, "filtered">;
  readonly deniedNames: Map<string, number>;
  /** Denials of names beyond those. */
  deniedOthers: number;
  /** Until when (monotonic ms) addresses are allowed. */
  readonly allowedUntilMs: Map<string, number>;
  /** Each change of rules starts programs as root, and whoever serves a listed name decides how many there are. */
  readonly changes: Allowance;
  /** One at a time. */
  lastChange: Promise<void>;
}

export function createEgress(deps: { readonly rules: NamespaceRulesEditor; readonly clock: Clock }): Egress {
  const { rules, clock } = deps;
  const guests = new Map<number, Guest>();

  function restore(index: number, policy: EgressPolicy): void {
    const known = guests.get(index);
    if (policy === "filtered") guests.delete(index);
    else
      guests.set(index, {
        ...{
          policy,
          deniedNames: known?.deniedNames ?? new Map(),
          deniedOthers: known?.deniedOthers ?? 0,
          allowedUntilMs: new Map(),
          lastChange: Promise.resolve(),
        },
        changes: createAllowance({ ...CHANGES, nowMs: clock.monotonicMs }),
      });
  }

  function denyName(guest: Guest, name: string): void {
    const { deniedNames } = guest;
    if (deniedNames.has(name) || deniedNames.size < MAX_DENIED_NAMES)
      deniedNames.set(name, (deniedNames.get(name) ?? 0) + 1);
    else guest.deniedOthers++;
  }

  /** Twice as long as the answer may be used: so the rules need not change with every answer. */
  async function allow(index: number, guest: Guest, answer: Buffer, name: string): Promise<void> {
    const { addresses, ttlSeconds } = addressesOf(answer, name);
    const seconds = Math.min(Math.max(ttlSeconds, LEAST_SECONDS), MOST_SECONDS);
    const short = () => {
      const untilMs = clock.monotonicMs() + seconds * 1000;
      return addresses.filter((address) => (guest.allowedUntilMs.get(address) ?? 0) < untilMs);
    };
    if (short().length === 0) return;
    const change = guest.lastChange.then(async () => {
      const missing = short();
      if (missing.length === 0) return;
      await sleep(guest.changes.spend(1));
      // The answer may have come so late that the number is another's.
      if (guests.get(index) !== guest) throw new AppError("microvm_lost", "the guest that asked is gone");
      await rules.allow(index, missing, 2 * seconds);
      const now = clock.monotonicMs();
      for (const [address, untilMs] of guest.allowedUntilMs) if (untilMs < now) guest.allowedUntilMs.delete(address);
      for (const address of missing) guest.allowedUntilMs.set(address, now + 2 * seconds * 1000);
    });
    guest.lastChange = change.catch(() => {});
    await change;
  }

  return {
    restore,
    forget: (index) => void guests.delete(index),
    async apply(index, policy) {
      restore(index, policy);
      if (policy !== "filtered") await rules.setPolicy(index, policy);
    },
    async change(index, policy) {
      await rules.setPolicy(index, policy);
      restore(index, policy);
    },
    async denials(index) {
      const packets = await rules.denials(index);
      const guest = guests.get(index);
      if (!guest) return packets;
      const names = [...guest.deniedNames, [OTHER_DESTINATIONS, guest.deniedOthers] as const];
      return [...packets, ...names.map(([destination, count]) => ({ destination, count }))];
    },
    dnsRules(index) {
      const guest = guests.get(index);
      if (!guest) return undefined;
      const { policy } = guest;
      return {
        refuse(query) {
          const name = askedName(query);
          if (name !== undefined && policy !== "none" && allowsHost(policy.allow, name)) return undefined;
          denyName(guest, name ?? "a name that is none");
          return { answer: refusal(query) };
        },
        async admit(query, answer) {
          const name = askedName(query);
          if (name !== undefined) await allow(index, guest, answer, name);
        },
      };
    },
  };
}

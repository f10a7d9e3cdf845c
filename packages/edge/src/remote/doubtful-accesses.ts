/**
 * What edges tell of guests that they were not led to, at the server: it waits until it is known whose the hosts are, and
 * holds up nothing else. Of each address one look-up is under way at a time.
 */
import { isAppError, type Logger, messageOf, sleep } from "@mags/core";
import type { UrlAccess, UrlRegister } from "@mags/domain";
import { groupOf } from "../ssh/strangers.ts";
import { MOST_ACCESSES } from "./protocol.ts";
import type { RefusalLog } from "./refusal-log.ts";

export interface DoubtfulAccesses {
  /** Those whose host is the guest's are noted, some time later. Others are refused, and those for which there is no room. */
  add(accesses: readonly UrlAccess[], teller: Teller): void;
  /** Resolves when none waits, or, when the server ends, those that are left cannot be looked up now. */
  settled(): Promise<void>;
}

interface Teller {
  readonly address: string;
  readonly urls: Pick<UrlRegister, "areOf" | "note">;
}

type Told = Teller & { readonly access: UrlAccess };

/** Of one address. */
const MOST_WAITING = 20_000;
const PAUSE_MS = 200;

export function createDoubtfulAccesses(
  { refused, log, signal }: { readonly refused: RefusalLog; readonly log: Logger; readonly signal: AbortSignal },
  { most = MOST_WAITING } = {},
): DoubtfulAccesses {
  /** By the address, or /64 network, that they come from. */
  const lines = new Map<string, Told[]>();
  const lookUps = new Set<Promise<void>>();

  function settle({ access, address, urls }: Told, isOfHost: boolean): void {
    if (isOfHost) urls.note(access);
    else refused.note({ address, host: access.host, guest: access.guest });
  }

  async function lookUp(waiting: Told[], { urls }: Teller): Promise<void> {
    while (waiting.length > 0) {
      const some = waiting.slice(0, MOST_ACCESSES);
      try {
        const areOf = await urls.areOf(some.map(({ access }) => access));
        for (const [at, told] of some.entries()) settle(told, areOf[at] === true);
      } catch (error) {
        if (isAppError(error, "unavailable")) {
          await sleep(PAUSE_MS, { signal });
          continue;
        }
        log.error("edge.accesses_unknown", { count: some.length, error: messageOf(error) });
      }
      waiting.splice(0, some.length);
    }
  }

  async function begin(group: string, waiting: Told[], teller: Teller): Promise<void> {
    lines.set(group, waiting);
    try {
      await lookUp(waiting, teller);
    } catch {
      // the server is ending
    } finally {
      lines.delete(group);
    }
  }

  return {
    add(accesses, teller) {
      const group = groupOf(teller.address);
      const line = lines.get(group);
      const waiting = line ?? [];
      const room = most - waiting.length;
      const told = accesses.map((access) => ({ ...teller, access }));
      waiting.push(...told.slice(0, room));
      for (const one of told.slice(room)) settle(one, false);
      if (line) return;
      const under = begin(group, waiting, teller);
      lookUps.add(under);
      void under.then(() => lookUps.delete(under));
    },
    settled: async () => void (await Promise.all(lookUps)),
  };
}

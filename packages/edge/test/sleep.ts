/** The sleep of a guest that is this machine, as far as what listens in it is concerned. */
import { AppError, untilAborted } from "@mags/core";

export interface Sleep {
  begin(): void;
  end(): void;
  /** Those that wait for it to end. */
  readonly waiting: number;
  /** @returns what aborts when it falls asleep, or `signal` does. */
  untilAwake(options: { readonly signal: AbortSignal; readonly wakes: boolean }): Promise<AbortSignal>;
}

export function createSleep(): Sleep {
  let asleep: PromiseWithResolvers<void> | undefined;
  let falling = new AbortController();
  let waiting = 0;
  const end = () => {
    asleep?.resolve();
    asleep = undefined;
  };
  return {
    get waiting() {
      return waiting;
    },
    begin() {
      asleep = Promise.withResolvers();
      falling.abort(new AppError("guest_failed", "the guest sleeps"));
      falling = new AbortController();
    },
    end,
    async untilAwake({ signal, wakes }) {
      if (wakes) end();
      waiting++;
      await untilAborted(asleep?.promise ?? Promise.resolve(), signal).finally(() => waiting--);
      return AbortSignal.any([signal, falling.signal]);
    },
  };
}

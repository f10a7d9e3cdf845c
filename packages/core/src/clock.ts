import { readFileSync } from "node:fs";

/** Time as a dependency. Deadlines and durations use `bootMs`; only what people read uses `now`. */
export interface Clock {
  /** Wall clock. It may be stepped: nothing may expire by it. */
  now(): Date;
  /** Milliseconds of a clock that starts with the process's machine and is never stepped (CLOCK_MONOTONIC). */
  monotonicMs(): number;
  /** Milliseconds since the machine booted, sleep included (CLOCK_BOOTTIME): comparable between processes. */
  bootMs(): number;
}

export const systemClock: Clock = {
  now: () => new Date(),
  monotonicMs: () => performance.now(),
  bootMs: () => Number.parseFloat(readFileSync("/proc/uptime", "utf8")) * 1000,
};

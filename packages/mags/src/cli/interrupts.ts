import type { SignalSource } from "./cli.ts";

export interface Interrupt {
  readonly signal: "SIGINT" | "SIGTERM";
  /** 128 + the signal's number. */
  readonly exitCode: number;
}

/** The first Ctrl-C or SIGTERM is for the caller to handle in peace; the second one ends the process at once. */
export interface Interrupts extends Disposable {
  readonly first: Promise<Interrupt>;
  /** The first one, if it came. */
  readonly current: Interrupt | undefined;
}

export function watchInterrupts(signals: SignalSource, exit: (code: number) => void): Interrupts {
  let current: Interrupt | undefined;
  const undo: (() => void)[] = [];
  const first = new Promise<Interrupt>((resolve) => {
    const listen = (signal: Interrupt["signal"], exitCode: number) => {
      const listener = () => {
        if (current) exit(exitCode);
        current = { signal, exitCode };
        resolve(current);
      };
      signals.on(signal, listener);
      undo.push(() => signals.off(signal, listener));
    };
    listen("SIGINT", 130);
    listen("SIGTERM", 143);
  });
  return {
    first,
    get current() {
      return current;
    },
    [Symbol.dispose]() {
      for (const off of undo.splice(0)) off();
    },
  };
}

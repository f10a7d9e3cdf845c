import type { Writable } from "node:stream";

/** Nobody reads the output any more, as with `mags … | head -1`. */
export class BrokenPipe extends Error {
  override readonly name = "BrokenPipe";
}

/** Standard output or standard error. */
export interface Output {
  readonly isTerminal: boolean;
  /**
   * Takes text or bytes; resolves when more may be written.
   * @throws BrokenPipe when the reader is gone; an error that says why when nothing can be written.
   */
  write(data: string | Uint8Array): Promise<void>;
  /** Resolves when everything written is out. Throws as `write`. */
  flush(): Promise<void>;
}

export function createOutput(stream: Writable & { readonly isTTY?: boolean }): Output {
  let failure: Error | undefined;
  let unwritten = 0;
  const waiting: (() => void)[] = [];

  function wake(): void {
    for (const resume of waiting.splice(0)) resume();
  }

  function fail(error: NodeJS.ErrnoException): void {
    failure ??= error.code === "EPIPE" ? new BrokenPipe() : new Error(`cannot write the output: ${error.message}`);
    wake();
  }

  stream.on("error", fail);
  stream.on("drain", wake);

  async function until(done: () => boolean): Promise<void> {
    while (failure === undefined && !done()) await new Promise<void>((resolve) => waiting.push(resolve));
    if (failure !== undefined) throw failure;
  }

  return {
    isTerminal: stream.isTTY === true,
    async write(data) {
      if (failure !== undefined) throw failure;
      unwritten++;
      const room = stream.write(data, (error) => {
        unwritten--;
        if (error) fail(error);
        else if (unwritten === 0) wake();
      });
      if (!room) await until(() => !stream.writableNeedDrain);
    },
    flush: () => until(() => unwritten === 0),
  };
}

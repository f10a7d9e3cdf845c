import { copyFileSync, fstatSync, ftruncateSync, openSync, rmSync, writeSync } from "node:fs";

export interface LogSink {
  write(line: string): void;
}

/**
 * A log file that never takes more than twice `maxBytes`: when it is full its lines go to `<path>.1`, in place of those
 * that were there, and it begins anew. It stays the same file all the time, because the output streams of the process
 * may go to it, too: what a runtime says as it dies stands after the last line of the log.
 *
 * Lines are written before the call returns, so a crash loses none. What cannot be written is dropped: a full disk must
 * not end the server.
 */
export function openLogFile(path: string, { maxBytes }: { readonly maxBytes: number }): LogSink {
  const file = openSync(path, "a", 0o600);

  function turnOver(): void {
    const old = `${path}.1`;
    try {
      copyFileSync(path, old);
    } catch {
      rmSync(old, { force: true });
    }
    ftruncateSync(file);
  }

  return {
    write(line) {
      try {
        if (fstatSync(file).size + Buffer.byteLength(line) > maxBytes) turnOver();
        writeSync(file, line);
      } catch {
        // See above.
      }
    },
  };
}

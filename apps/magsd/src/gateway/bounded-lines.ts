import type { Readable } from "node:stream";

/**
 * Lines of what somebody writes who is not trusted.
 * @param on.excess  A line is longer than `maxBytes`: nothing more is read.
 */
export function readLines(from: Readable, maxBytes: number, on: { line(text: string): void; excess(): void }): void {
  let rest = Buffer.alloc(0);
  const onData = (bytes: Buffer) => {
    rest = Buffer.concat([rest, bytes]);
    for (let end = rest.indexOf("\n"); end !== -1; end = rest.indexOf("\n")) {
      on.line(rest.toString("utf8", 0, end));
      rest = rest.subarray(end + 1);
    }
    if (rest.length <= maxBytes) return;
    from.off("data", onData);
    // Before it notices that nobody reads: how it ends is up to who reads.
    on.excess();
    from.destroy();
  };
  from.on("data", onData);
}

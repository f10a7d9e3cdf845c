import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { describe, it } from "node:test";

/** Collections of the whole heap while a process takes 4 GiB in pieces of 64 KiB, and keeps the last 64. */
function collections(first: string): number {
  const program = `
    import { constants, PerformanceObserver } from "node:perf_hooks";
    import { setImmediate as turn } from "node:timers/promises";
    import { countBuffersAsHeap } from ${JSON.stringify(new URL("./count-buffers.ts", import.meta.url).href)};
    ${first}
    let count = 0;
    const observer = new PerformanceObserver((list) => {
      for (const { detail } of list.getEntries()) if (detail.kind === constants.NODE_PERFORMANCE_GC_MAJOR) count++;
    });
    observer.observe({ entryTypes: ["gc"] });
    const kept = [];
    for (let n = 0; n < 65_536; n++) {
      kept[n % 64] = Buffer.allocUnsafeSlow(65_536);
      if (n % 16 === 0) await turn();
    }
    await turn();
    console.log(count);`;
  return Number(execFileSync(process.execPath, ["--input-type=module", "--eval", program], { encoding: "utf8" }));
}

describe("countBuffersAsHeap", () => {
  it("has a process through which bytes pass collect its heap far less", () => {
    const [without, counted] = [collections(""), collections("countBuffersAsHeap();")];
    assert.ok(counted * 4 < without, `${counted} against ${without}`);
  });
});

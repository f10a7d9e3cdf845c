/** Runs tests in a network namespace of their own: only a loopback, and `ip netns` names that nobody else sees. */
import { spawn } from "node:child_process";
import { resolve } from "node:path";

const MARK = "MAGS_TESTS_ISOLATED";
const SCRIPT =
  'mkdir -p /run/netns && mount -t tmpfs tmpfs /run/netns && mount --make-shared /run/netns && ip link set lo up && exec "$@"';
const LAST_LINE = /(?:^|\n)(\d+) passed, (\d+) failed\n$/;

export interface Counts {
  readonly passed: number;
  readonly failed: number;
}

/** True in the process that `runIsolated` started. */
export function isIsolated(): boolean {
  return process.env[MARK] === "1";
}

/** Runs the test runner again, inside. A run without a last line of counts is one failure. */
export function runIsolated(args: readonly string[], write: (text: string) => void): Promise<Counts> {
  const inner = [process.execPath, resolve(import.meta.dirname, "run-tests.ts"), ...args];
  const child = spawn("unshare", ["--net", "--mount", "--propagation", "private", "sh", "-c", SCRIPT, "sh", ...inner], {
    stdio: ["ignore", "pipe", "inherit"],
    env: { ...process.env, [MARK]: "1" },
  });
  let tail = "";
  child.stdout.setEncoding("utf8").on("data", (text: string) => {
    write(text);
    tail = (tail + text).slice(-200);
  });
  return new Promise((done, reject) => {
    child.once("error", reject);
    child.once("close", () => {
      const counts = LAST_LINE.exec(tail);
      done(counts ? { passed: Number(counts[1]), failed: Number(counts[2]) } : { passed: 0, failed: 1 });
    });
  });
}

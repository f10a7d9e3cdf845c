/**
 * Runs tiers of tests one after the other: `node tools/run-tests.ts TIER... [FILE...]`, TIER one of unit, e2e, soak.
 * With files (or parts of their paths) only those of the tiers run. The last line is `N passed, N failed`; the exit code
 * is 1 when something failed or nothing ran.
 */
import { globSync } from "node:fs";
import { availableParallelism } from "node:os";
import { resolve } from "node:path";
import { run } from "node:test";
import { isIsolated, runIsolated } from "./isolated-tests.ts";
import { createTestReport, type TestEvent } from "./test-report.ts";
import { isTierName, TEST_TIERS, type TierName } from "./test-tiers.ts";

const ROOT = resolve(import.meta.dirname, "..");
const write = (text: string) => process.stdout.write(text);

const tiers: TierName[] = [];
const filters: string[] = [];
for (const argument of process.argv.slice(2)) {
  if (isTierName(argument)) tiers.push(argument);
  else filters.push(argument);
}
if (tiers.length === 0) {
  write(`usage: node tools/run-tests.ts TIER... [FILE...]   tiers: ${Object.keys(TEST_TIERS).join(", ")}\n`);
  process.exit(1);
}

const report = createTestReport(ROOT, write);
const elsewhere = { passed: 0, failed: 0 };
for (const name of tiers) {
  const tier = TEST_TIERS[name];
  if (tier.isolated && !isIsolated()) {
    const counts = await runIsolated([name, ...filters], write);
    elsewhere.passed += counts.passed;
    elsewhere.failed += counts.failed;
    continue;
  }
  const files = globSync([...tier.files], { cwd: ROOT, exclude: ["**/node_modules/**", "**/dist/**", ...tier.except] })
    .filter((file) => filters.length === 0 || filters.some((filter) => file.includes(filter)))
    .toSorted();
  if (files.length === 0) continue;
  write(`\n${name}: ${files.length} files\n`);
  // A file may keep its process alive after its tests, which no time-out of a test sees.
  const silence = new AbortController();
  const onSilence = () => {
    write(
      `\nno test has reported anything for ${tier.silenceMs / 1000} s; ending what runs: ${report.running().join(", ")}\n`,
    );
    silence.abort();
  };
  let timer = setTimeout(onSilence, tier.silenceMs);
  const events = run({
    cwd: ROOT,
    files: files.map((file) => resolve(ROOT, file)),
    concurrency: tier.concurrency ? Math.max(2, availableParallelism()) : 1,
    signal: silence.signal,
  });
  for await (const event of events) {
    clearTimeout(timer);
    timer = setTimeout(onSilence, tier.silenceMs);
    report.add(event as TestEvent);
  }
  clearTimeout(timer);
}

const slowest = report.slowest();
if (slowest.length > 0) write(`\nslowest:\n${slowest.join("\n")}\n\n`);
const passed = report.passed + elsewhere.passed;
const failed = report.failed + elsewhere.failed;
if (passed + failed === 0) write("no tests ran\n");
process.exitCode = failed > 0 || passed === 0 ? 1 : 0;
write(`${passed} passed, ${failed} failed\n`);

/** Requests and bytes through a proxy to a web server of this machine. No VM. */
import { truncate, writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { run } from "@mags/e2e/harness";
import { makeTempDir } from "@mags/test-kit";
import type { Benchmark } from "./context.ts";
import { percentile, round } from "./statistics.ts";
import { openUrlParties, type UrlParty, type Way } from "./url-parties.ts";

const ROUNDS = Number(process.env.BENCH_RUNS ?? 5);
const SECONDS = 6;
const CONNECTIONS = 64;
const BYTES = 512 * 1024 * 1024;
const RUN_MS = 120_000;

interface Round {
  readonly perSecond: number;
  readonly p50: number;
  readonly p99: number;
}

export const urlRequests: Benchmark = async ({ say, note }) => {
  await using parties = await openUrlParties(say);
  await using folder = await makeTempDir();
  const file = join(folder.path, "zeros");
  await writeFile(file, "");
  await truncate(file, BYTES);
  const rounds = new Map<UrlParty, Round[]>();
  const down = new Map<UrlParty, number[]>();
  const up = new Map<UrlParty, number[]>();
  for (let n = 0; n < ROUNDS; n++)
    for (const party of parties.all) {
      push(rounds, party, await askMuch(parties.wrk, party.small));
      push(down, party, await transfer(party.data, ["-o", "/dev/null", `?bytes=${BYTES}`], "speed_download"));
      push(up, party, await transfer(party.data, ["-o", "/dev/null", "-T", file, ""], "speed_upload"));
    }
  say(
    `${CONNECTIONS} connections, 1 KiB, ${ROUNDS} × ${SECONDS} s in turn; 512 MiB each way; load ${loadavg()[0]?.toFixed(1)}`,
  );
  for (const party of parties.all) {
    const median = (of: (one: Round) => number) => percentile(rounds.get(party)?.map(of) ?? [], 0.5);
    const figures = {
      per_second: round(
        median((one) => one.perSecond),
        0,
      ),
      p50_ms: round(
        median((one) => one.p50),
        2,
      ),
      p99_ms: round(
        median((one) => one.p99),
        2,
      ),
      down_mb_s: round(percentile(down.get(party) ?? [], 0.5) / 1e6, 0),
      up_mb_s: round(percentile(up.get(party) ?? [], 0.5) / 1e6, 0),
    };
    note(`url_requests ${party.name}`, figures);
    const { per_second, p50_ms, p99_ms, down_mb_s, up_mb_s } = figures;
    say(
      `  ${party.name.padEnd(28)} ${per_second} /s  P50 ${p50_ms}  P99 ${p99_ms} ms  down ${down_mb_s}  up ${up_mb_s} MB/s`,
    );
  }
};

function push<T>(all: Map<UrlParty, T[]>, party: UrlParty, value: T): void {
  const of = all.get(party);
  if (of) of.push(value);
  else all.set(party, [value]);
}

async function askMuch([program = "", ...words]: readonly string[], { port, host }: Way): Promise<Round> {
  const how = ["-t1", `-c${CONNECTIONS}`, `-d${SECONDS}s`, "--latency", "-H", `Host: ${host}`];
  const { text: output, exitCode } = await run(program, [...words, ...how, `http://127.0.0.1:${port}/`], {
    timeoutMs: RUN_MS,
  });
  if (exitCode !== 0 || /Non-2xx|Socket errors/.test(output)) throw new Error(`wrk at ${host}: ${output}`);
  const at = (share: string) => {
    const [, value, unit] = new RegExp(`${share}%\\s+([\\d.]+)(us|ms|s)`).exec(output) ?? [];
    return Number(value) * (unit === "us" ? 0.001 : unit === "s" ? 1000 : 1);
  };
  return { perSecond: Number(/Requests\/sec:\s+([\d.]+)/.exec(output)?.[1]), p50: at("50"), p99: at("99") };
}

async function transfer({ port, host }: Way, words: readonly string[], what: string): Promise<number> {
  const [query = ""] = words.slice(-1);
  const {
    text: output,
    errors,
    exitCode,
  } = await run(
    "curl",
    [
      "-sS",
      "--fail",
      "-w",
      `%{${what}}`,
      "-H",
      `Host: ${host}`,
      ...words.slice(0, -1),
      `http://127.0.0.1:${port}/${query}`,
    ],
    { timeoutMs: RUN_MS },
  );
  if (exitCode !== 0) throw new Error(`curl at ${host}: ${errors}`);
  return Number(output);
}

/**
 * Files by scp, rsync and a plain command over SSH, there and back. Reference, in turn with it: OpenSSH's server in front
 * of this machine; the bare agent, after them, shows what the guest's side can do.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { mkdir, rm, writeFile } from "node:fs/promises";
import { loadavg } from "node:os";
import { join } from "node:path";
import { type RunResult, run, startServer } from "@mags/e2e/harness";
import { makeTempDir } from "@mags/test-kit";
import { startBareAgent } from "./bare-agent.ts";
import type { BenchContext, Benchmark } from "./context.ts";
import { newSandbox, openSshParties, type SshParty } from "./ssh-parties.ts";
import { percentile, round } from "./statistics.ts";

const MIB = 1024 ** 2;
const BYTES = Number(process.env.BENCH_SSH_MIB ?? 1024) * MIB;
const FILES = Number(process.env.BENCH_SSH_FILES ?? 10_000);
const FILES_A_FOLDER = 500;
const ROUNDS = Number(process.env.BENCH_RUNS ?? 3);
/** Of the bare agent, which has no choice. */
const MEMORY_MIB = 512;
const TIMEOUT_MS = 1_800_000;
/** rsync writes a file beside the one that it replaces. */
const DISK_GB = 4 + Math.ceil((2 * BYTES) / 1e9);

export const sshTransfer: Benchmark = async (context) => {
  await using server = await startServer({ node: { default_memory_mb: MEMORY_MIB } });
  await newSandbox(server, "box", { diskGb: DISK_GB });
  await server.poolFilled(1);
  await using parties = await openSshParties(server, "box", context.say);
  await using temp = await makeTempDir();
  const files = { big: join(temp.path, "big"), tree: join(temp.path, "tree"), back: join(temp.path, "back") };
  await makeFiles(files);
  const samples = new Map<string, number[]>();
  const take = (name: string, ms: number) => void samples.set(name, [...(samples.get(name) ?? []), ms]);
  for (let n = 0; n < ROUNDS; n++)
    for (const party of parties.all)
      for (const [step, command] of stepsOf(party, files)) {
        await rm(files.back, { recursive: true, force: true });
        const begunMs = performance.now();
        const { exitCode, errors } = await command();
        take(`${step}; ${party.name}`, performance.now() - begunMs);
        assert.equal(exitCode, 0, `${step}: ${errors}`);
      }
  tell(context, "ssh_transfer", samples);
  await using bare = await startBareAgent();
  samples.clear();
  for (let n = 0; n < ROUNDS; n++) {
    take("one file, in; the bare agent, written", await bare.measure("write", BYTES));
    take("one file, out; the bare agent, read", await bare.measure("read", BYTES));
    take("one file, in; the bare agent, stdin", await bare.measure("stdin", BYTES));
    take("one file, out; the bare agent, stdout", await bare.measure("stdout", BYTES));
  }
  tell(context, "ssh_transfer_bare_agent", samples);
};

interface Files {
  readonly big: string;
  readonly tree: string;
  readonly back: string;
}

async function makeFiles({ big, tree }: Files): Promise<void> {
  const piece = randomBytes(64 * MIB);
  for (let left = BYTES; left > 0; left -= piece.length)
    await writeFile(big, piece.subarray(0, Math.min(left, piece.length)), { flag: "a" });
  for (let n = 0; n < FILES; n++) {
    const folder = join(tree, `${Math.floor(n / FILES_A_FOLDER)}`);
    if (n % FILES_A_FOLDER === 0) await mkdir(folder, { recursive: true });
    await writeFile(join(folder, `${n}`), piece.subarray(n, n + 1024));
  }
}

type Step = readonly [name: string, command: () => Promise<RunResult>];

/** In order: what comes back has been sent there. */
function stepsOf({ options, user, folder }: SshParty, { big, tree, back }: Files): readonly Step[] {
  const at = `${user}@127.0.0.1`;
  const there = `${at}:${folder}`;
  const start = (program: string, args: readonly string[]) => run(program, args, { timeoutMs: TIMEOUT_MS });
  const ssh = (command: string) => start("ssh", [...options, at, command]);
  const shell = (command: string) => start("sh", ["-c", command, "sh", ...options, at]);
  const scp = (...args: readonly string[]) => start("scp", ["-rq", ...options, ...args]);
  const rsync = (...args: readonly string[]) => start("rsync", ["-aW", "-e", ["ssh", ...options].join(" "), ...args]);
  return [
    ["one file, in; cat", () => shell(`exec ssh "$@" 'cat >${folder}/big' <${big}`)],
    ["one file, out; cat", () => shell(`exec ssh "$@" 'cat ${folder}/big' >${back}`)],
    ["one file, in; scp", () => scp(big, `${there}/big`)],
    ["one file, out; scp", () => scp(`${there}/big`, back)],
    ["one file, in; rsync", () => rsync("--ignore-times", big, `${there}/big`)],
    ["one file, out; rsync", () => rsync(`${there}/big`, back)],
    ["(removed)", () => ssh(`rm -rf ${folder}/big`)],
    ["small files, in; scp", () => scp(tree, `${there}/tree`)],
    ["small files, out; scp", () => scp(`${there}/tree`, back)],
    ["(removed)", () => ssh(`rm -rf ${folder}/tree`)],
    ["small files, in; rsync", () => rsync(tree, `${there}/`)],
    ["small files, out; rsync", () => rsync(`${there}/tree`, back)],
    ["(removed)", () => ssh(`rm -rf ${folder}/tree`)],
  ];
}

function tell({ say, note }: BenchContext, name: string, samples: ReadonlyMap<string, number[]>): void {
  say(
    `one file of ${BYTES / MIB} MiB in MB/s, ${FILES} of 1 KiB in files/s, medians of ${ROUNDS} in turn; load ${loadavg()[0]?.toFixed(1)}`,
  );
  const speeds: Record<string, number> = {};
  for (const [step, ms] of samples) {
    if (step.startsWith("(")) continue;
    const isOne = step.startsWith("one");
    speeds[step] = round(((isOne ? BYTES / 1e6 : FILES) / percentile(ms, 0.5)) * 1_000);
    say(`  ${step.padEnd(72)} ${speeds[step]} ${isOne ? "MB/s" : "files/s"}`);
  }
  note(name, speeds);
}

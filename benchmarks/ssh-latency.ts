/**
 * SSH: a new connection with a command, a command on an open one, the echo of a terminal. Reference, in turn with it:
 * OpenSSH's server in front of this machine. The gateway alone in front of this machine shows what the guest takes.
 */
import assert from "node:assert/strict";
import { loadavg } from "node:os";
import { run, startServer } from "@mags/e2e/harness";
import { type BareAgent, startBareAgent } from "./bare-agent.ts";
import type { BenchContext, Benchmark } from "./context.ts";
import { type SshClient, startSshClient } from "./ssh-client.ts";
import { newSandbox, openSshParties, type SshParties, type SshParty } from "./ssh-parties.ts";
import { round, type Summary, showSummary, summarize } from "./statistics.ts";

const RUNS = Number(process.env.BENCH_RUNS ?? 100);
const ECHOES = 2 * RUNS;
/** Of the bare agent, which has no choice. */
const MEMORY_MIB = 512;

type Samples = ReadonlyMap<string, number[]>;

export const sshLatency: Benchmark = async (context) => {
  await using server = await startServer({ node: { default_memory_mb: MEMORY_MIB } });
  await newSandbox(server, "box");
  await server.poolFilled(1);
  await using parties = await openSshParties(server, "box", context.say);
  await newConnections(context, parties);
  await using scope = new AsyncDisposableStack();
  const clients = new Map<SshParty, SshClient>();
  for (const party of parties.all) clients.set(party, scope.use(await startSshClient(party)));
  const bare = scope.use(await startBareAgent());
  await onOpenOnes(context, { clients, bare, what: "echo", count: ECHOES });
  await onOpenOnes(context, { clients, bare, what: "exec", count: RUNS });
};

async function newConnections(context: BenchContext, { all }: SshParties): Promise<void> {
  const samples = new Map(all.map(({ name }) => [name, [] as number[]]));
  for (let n = 0; n < RUNS; n++)
    for (const { name, options, user } of all) {
      const begunMs = performance.now();
      const { exitCode, errors } = await run("ssh", [...options, `${user}@127.0.0.1`, "true"]);
      samples.get(name)?.push(performance.now() - begunMs);
      assert.equal(exitCode, 0, errors);
    }
  tell(context, `ssh HOST true, the whole program, ${RUNS} each, in turn`, samples);
  context.note("ssh_new_connection", figuresOf(samples));
}

async function onOpenOnes(
  context: BenchContext,
  of: {
    readonly clients: ReadonlyMap<SshParty, SshClient>;
    readonly bare: BareAgent;
    readonly what: "exec" | "echo";
    readonly count: number;
  },
): Promise<void> {
  const { clients, bare, what, count } = of;
  const samples = new Map<string, number[]>();
  const take = (name: string, ms: number) => void samples.set(name, [...(samples.get(name) ?? []), ms]);
  for (let n = 0; n < count; n++) {
    for (const [{ name }, client] of clients) take(name, await client.measure(what));
    take("the bare agent", await bare.measure(what));
  }
  const title = what === "exec" ? "a command on an open connection" : "a byte typed on a terminal, until it is shown";
  tell(context, `${title}, ${count} each, in turn`, samples);
  context.note(`ssh_${what}`, figuresOf(samples));
}

function figuresOf(samples: Samples): Readonly<Record<string, Summary>> {
  return Object.fromEntries([...samples].map(([name, ms]) => [name, summarize(ms)]));
}

/** The first is the reference. */
function tell({ say }: BenchContext, title: string, samples: Samples): void {
  say(`${title}; load ${loadavg()[0]?.toFixed(1)}`);
  const figures = Object.entries(figuresOf(samples));
  const reference = figures[0]?.[1];
  for (const [name, summary] of figures) {
    say(showSummary(name, summary));
    if (reference === undefined || summary === reference) continue;
    const ratios = [summary.p50 / reference.p50, summary.p99 / reference.p99].map((ratio) => round(ratio, 2));
    say(`  ${"".padEnd(44)} ${ratios.join(" and ")} times the reference`);
  }
}

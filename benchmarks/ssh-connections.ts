/**
 * Connections of SSH that stand open: how many there may be, and the memory of each; and how long a good client waits
 * while 1 000 others connect at once. Reference: OpenSSH's server with its own limits.
 */
import { connect, type Socket } from "node:net";
import { loadavg } from "node:os";
import { run, startServer } from "@mags/e2e/harness";
import type { BenchContext, Benchmark } from "./context.ts";
import { proportionalMib } from "./processes.ts";
import { startSshClient } from "./ssh-client.ts";
import { newSandbox, openSshParties, type SshParty } from "./ssh-parties.ts";
import { round, showSummary, summarize } from "./statistics.ts";

/** The server takes 1000. */
const HELD = Number(process.env.BENCH_SSH_CONNECTIONS ?? 1_000);
/** Of sshd, which has three processes for each. */
const HELD_BY_SSHD = Math.min(HELD, 100);
const ATTEMPTS = 1_000;
const STORMS = 5;
/** Each lasts until the strangers have had their time to sign in. */
const STORMS_OF_ONE_ADDRESS = 1;
/** Addresses of this machine. */
const STRANGER = "127.0.0.2";
const SAME = "127.0.0.1";

export const sshConnections: Benchmark = async (context) => {
  await using server = await startServer({
    config: { ssh: { limits: { connections_per_account: HELD + 10, channels_per_account: HELD + 10 } } },
    node: { default_memory_mb: 512 },
  });
  await newSandbox(server, "box");
  await using parties = await openSshParties(server, "box", context.say);
  const { pid } = await server.serverStatus();
  const before = await proportionalMib(pid);
  for (const [party, count] of [
    [parties.sshd, HELD_BY_SSHD],
    [parties.vm, HELD],
  ] as const)
    await held(context, party, { count, onHeld: async () => (await proportionalMib(pid)) - before });
  await storms(context, parties.vm, STRANGER);
  await storms(context, parties.vm, SAME);
  await storms(context, parties.sshd, STRANGER); // who shares an address with strangers is locked out for minutes
};

async function memoryMib(party: SshParty): Promise<number> {
  const each = await Promise.all((await party.pids()).map(proportionalMib));
  return each.reduce((sum, one) => sum + one, 0);
}

async function held(
  { say, note }: BenchContext,
  party: SshParty,
  { count, onHeld }: { readonly count: number; readonly onHeld: () => Promise<number> },
): Promise<void> {
  await using client = await startSshClient(party);
  const before = await memoryMib(party);
  const tookMs = await client.measure("open", count - 1);
  const after = await memoryMib(party);
  const figures = {
    held: count,
    seconds: round(tookMs / 1_000),
    before_mib: round(before),
    after_mib: round(after),
    each_kib: round(((after - before) * 1_024) / (count - 1)),
    server_more_mib: round(await onHeld()),
  };
  say(`${party.name}: ${JSON.stringify(figures)}; load ${loadavg()[0]?.toFixed(1)}`);
  if (count === HELD) {
    const { exitCode, errors } = await run("ssh", [...party.options, `${party.user}@127.0.0.1`, "true"]);
    say(`  one more, with a command: exit code ${exitCode} ${errors.trim()}`);
  }
  note(`ssh_held ${party.name}`, figures);
}

/** Milliseconds until a client that tries again and again is served. */
async function served({ options, user }: SshParty): Promise<number> {
  const begunMs = performance.now();
  for (;;) {
    const { exitCode } = await run("ssh", [...options, `${user}@127.0.0.1`, "true"]);
    if (exitCode === 0) return performance.now() - begunMs;
  }
}

async function storms({ say, note }: BenchContext, party: SshParty, from: string): Promise<void> {
  const times = from === SAME ? STORMS_OF_ONE_ADDRESS : STORMS;
  const samples: number[] = [];
  const quiet: number[] = [];
  let opened = 0;
  for (let n = 0; n < times; n++) {
    quiet.push(await served(party));
    const sockets = Array.from({ length: ATTEMPTS }, () => stranger(party.port, from, () => opened++));
    samples.push(await served(party));
    for (const socket of sockets) socket.destroy();
  }
  say(
    `${party.name}: ${ATTEMPTS} strangers of ${from === SAME ? "the client's" : "another"} address connect and say nothing more, ${times} times (${Math.round(opened / times)} greeted)`,
  );
  say(showSummary("a good client begins with them → served", summarize(samples)));
  say(showSummary("the same before", summarize(quiet)));
  note(`ssh_storm ${party.name} ${from}`, { storm: summarize(samples), before: summarize(quiet) });
}

function stranger(port: number, localAddress: string, onGreeted: () => void): Socket {
  const socket = connect({ host: "127.0.0.1", port, localAddress });
  socket.on("error", () => {}); // it is refused
  socket.once("data", onGreeted);
  socket.write("SSH-2.0-stranger\r\n");
  return socket;
}

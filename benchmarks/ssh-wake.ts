/** A sandbox that sleeps, from `ssh` to its prompt. Beside it: a command over the API to one that sleeps, and `ssh` to one that is awake. */
import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { loadavg } from "node:os";
import { startServer, type TestServer } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import { newSandbox, openSshParties, type SshParty } from "./ssh-parties.ts";
import { showSummary, summarize } from "./statistics.ts";

const ROUNDS = Number(process.env.BENCH_RUNS ?? 15);
const JOBS = "/api/v1/mags-jobs/box";

export const sshWake: Benchmark = async ({ say, note }) => {
  await using server = await startServer({ node: { default_memory_mb: 512 } });
  await newSandbox(server, "box");
  await using parties = await openSshParties(server, "box", say);
  const samples = { awake: [] as number[], prompt: [] as number[], exec: [] as number[], host: [] as number[] };
  for (let n = 0; n < ROUNDS; n++) {
    samples.awake.push(await untilPrompt(parties.vm));
    samples.host.push(await untilPrompt(parties.sshd));
    await call(server, "/sleep");
    samples.prompt.push(await untilPrompt(parties.vm));
    await call(server, "/sleep");
    const begunMs = performance.now();
    await call(server, "/exec", { command: "true" });
    samples.exec.push(performance.now() - begunMs);
  }
  say(`a sandbox of 512 MiB, ${ROUNDS} times, in turn; load ${loadavg()[0]?.toFixed(1)}`);
  say(showSummary("asleep: ssh -tt → prompt", summarize(samples.prompt)));
  say(showSummary("asleep: POST .../exec → answer", summarize(samples.exec)));
  say(showSummary("awake: ssh -tt → prompt", summarize(samples.awake)));
  say(showSummary("reference: sshd, ssh -tt → prompt", summarize(samples.host)));
  note("ssh_wake", Object.fromEntries(Object.entries(samples).map(([name, ms]) => [name, summarize(ms)])));
};

async function untilPrompt({ options, user }: SshParty): Promise<number> {
  const begunMs = performance.now();
  const child = spawn("ssh", [...options, "-tt", `${user}@127.0.0.1`], { stdio: ["pipe", "pipe", "inherit"] });
  const closed = once(child, "close");
  let text = "";
  let tookMs: number | undefined;
  for await (const piece of child.stdout.setEncoding("latin1")) {
    text += piece;
    if (tookMs !== undefined || !/[#$] $/.test(text)) continue;
    tookMs = performance.now() - begunMs;
    child.stdin.write("exit\n");
  }
  const [exitCode] = await closed;
  assert.ok(tookMs !== undefined && exitCode === 0, `exit code ${exitCode}: ${JSON.stringify(text)}`);
  return tookMs;
}

async function call(server: TestServer, path: string, body?: unknown): Promise<void> {
  const reply = await server.api.call("POST", JOBS + path, body);
  assert.ok(reply.status < 300, `${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
}

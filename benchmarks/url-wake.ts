/** A request to a sandbox that sleeps, until the first byte of its answer; many at once; and one to a sandbox that is awake. */
import assert from "node:assert/strict";
import { Agent, get } from "node:http";
import { loadavg } from "node:os";
import { startServer, type TestServer } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import { newSandbox } from "./ssh-parties.ts";
import { showSummary, summarize } from "./statistics.ts";

const ROUNDS = Number(process.env.BENCH_RUNS ?? 20);
const STORMS = 3;
const STORM = 500;
const JOBS = "/api/v1/mags-jobs/box";
const PORT = 8080;
/** Serves "here" on each connection, with no start of a program for it. */
const SERVER = `cat > /root/serve.mjs <<'END'
import { createServer } from "node:http";
createServer((_request, reply) => reply.end("here\\n")).listen({ port: ${PORT}, host: "0.0.0.0", backlog: 1024 });
END
setsid node /root/serve.mjs > /dev/null 2>&1 < /dev/null &`;

export const urlWake: Benchmark = async ({ say, note }) => {
  await using server = await startServer({ node: { default_memory_mb: 512 } });
  await newSandbox(server, "box");
  await call(server, "/exec", { command: SERVER });
  const { url } = await call(server, "/access", { port: PORT });
  await firstByte(url);
  const samples = { awake: [] as number[], asleep: [] as number[], exec: [] as number[] };
  for (let n = 0; n < ROUNDS; n++) {
    samples.awake.push(await firstByte(url));
    await call(server, "/sleep");
    samples.asleep.push(await firstByte(url));
    await call(server, "/sleep");
    const begunMs = performance.now();
    await call(server, "/exec", { command: "true" });
    samples.exec.push(performance.now() - begunMs);
  }
  const storms: number[] = [];
  const wakes: number[] = [];
  for (let n = 0; n < STORMS; n++) {
    await call(server, "/sleep");
    const before = await wakesOf(server);
    storms.push(...(await Promise.all(Array.from({ length: STORM }, () => firstByte(url)))));
    wakes.push((await wakesOf(server)) - before);
  }
  say(`a sandbox of 512 MiB with a server of Node, ${ROUNDS} times, in turn; load ${loadavg()[0]?.toFixed(1)}`);
  say(showSummary("asleep: request → first byte", summarize(samples.asleep)));
  say(showSummary("reference: asleep: POST .../exec → answer", summarize(samples.exec)));
  say(showSummary("awake: request → first byte", summarize(samples.awake)));
  say(showSummary(`asleep: ${STORM} at once → first byte of each`, summarize(storms)));
  say(`  wakes of each of these ${STORMS} storms: ${wakes.join(", ")}`);
  note("url_wake", Object.fromEntries(Object.entries(samples).map(([name, ms]) => [name, summarize(ms)])));
  note("url_wake_storm", { ...summarize(storms), wakes });
};

/** Over a connection of its own. */
function firstByte(url: string): Promise<number> {
  const { hostname, port } = new URL(url);
  const begunMs = performance.now();
  return new Promise((resolve, reject) => {
    const asked = get({ host: "127.0.0.1", port, agent: new Agent(), headers: { host: hostname } }, (reply) => {
      reply.once("data", (bytes: Buffer) => {
        const tookMs = performance.now() - begunMs;
        reply.resume();
        if (reply.statusCode === 200 && `${bytes}` === "here\n") resolve(tookMs);
        else reject(new Error(`${reply.statusCode}: ${bytes}`));
      });
    });
    asked.on("error", reject);
  });
}

// biome-ignore lint/suspicious/noExplicitAny: the server's own tests look after its replies.
async function call(server: TestServer, path: string, body?: unknown): Promise<any> {
  const reply = await server.api.call("POST", JOBS + path, body);
  assert.ok(reply.status < 300, `${path}: ${reply.status} ${JSON.stringify(reply.body)}`);
  return reply.body;
}

async function wakesOf(server: TestServer): Promise<number> {
  const { body } = await server.api.call("GET", `${JOBS}/events`);
  return (body as { readonly events: readonly { readonly name: string }[] }).events.filter(
    ({ name }) => name === "woke",
  ).length;
}

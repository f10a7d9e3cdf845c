/** WebSockets through a proxy to a web server of this machine: round trips, bytes, and what many that rest take. No VM. */
import { once } from "node:events";
import { loadavg } from "node:os";
import { sleep } from "@mags/core";
import { WebSocket } from "ws";
import type { Benchmark } from "./context.ts";
import { proportionalMib } from "./processes.ts";
import { percentile, round, summarize } from "./statistics.ts";
import { openUrlParties, type UrlParty, type Way } from "./url-parties.ts";

const ROUNDS = Number(process.env.BENCH_RUNS ?? 5);
const TRIPS = 1_000;
const WARM = 100;
const MESSAGE = Buffer.alloc(64 * 1024, "messages as large as these\n");
const MESSAGES = 4_096;
/** Messages under way. */
const WINDOW = 32;
const IDLE = Number(process.env.BENCH_SOCKETS ?? 5_000);
const AT_ONCE = 100;
const SETTLE_MS = 3_000;

export const urlWebSockets: Benchmark = async ({ say, note }) => {
  await using parties = await openUrlParties(say);
  const trips = new Map<UrlParty, number[]>(parties.all.map((party) => [party, []]));
  const rates = new Map<UrlParty, number[]>(parties.all.map((party) => [party, []]));
  for (let n = 0; n < ROUNDS; n++)
    for (const party of parties.all) {
      trips.get(party)?.push(...(await roundTrips(party.data)));
      rates.get(party)?.push(await echoed(party.data));
    }
  say(
    `64 bytes there and back, ${ROUNDS} × ${TRIPS} in turn; ${MESSAGES} messages of 64 KiB, echoed; load ${loadavg()[0]?.toFixed(1)}`,
  );
  for (const party of parties.all) {
    const { p50, p99 } = summarize((trips.get(party) ?? []).map((ms) => ms * 1000));
    const rate = round(percentile(rates.get(party) ?? [], 0.5), 0);
    note(`url_web_sockets ${party.name}`, { round_trip_us: { p50, p99 }, mb_s: rate });
    say(`  ${party.name.padEnd(28)} P50 ${round(p50, 0)}  P99 ${round(p99, 0)} µs  ${rate} MB/s each way`);
  }
  say(`${IDLE} WebSockets on which nothing passes, memory of the proxy's processes (Pss)`);
  for (const party of parties.all.slice(1)) {
    const { before, after } = await memoryOfIdle(party);
    const each = round(((after - before) * 1024) / IDLE);
    note(`url_web_sockets idle ${party.name}`, { before_mib: round(before), after_mib: round(after), each_kib: each });
    say(`  ${party.name.padEnd(28)} ${round(before, 0)} → ${round(after, 0)} MiB, ${each} KiB each`);
  }
};

async function open({ port, host }: Way): Promise<WebSocket> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/`, { perMessageDeflate: false, headers: { host } });
  await once(socket, "open");
  return socket;
}

async function close(socket: WebSocket): Promise<void> {
  const closed = once(socket, "close");
  socket.close();
  await closed;
}

async function roundTrips(way: Way): Promise<number[]> {
  const socket = await open(way);
  const message = Buffer.alloc(64, "x");
  const took: number[] = [];
  for (let n = 0; n < WARM + TRIPS; n++) {
    const begunMs = performance.now();
    const back = once(socket, "message");
    socket.send(message);
    await back;
    if (n >= WARM) took.push(performance.now() - begunMs);
  }
  await close(socket);
  return took;
}

/** MB/s. */
async function echoed(way: Way): Promise<number> {
  const socket = await open(way);
  const done = Promise.withResolvers<void>();
  let sent = 0;
  let back = 0;
  const send = () => {
    sent++;
    socket.send(MESSAGE);
  };
  socket.on("message", () => {
    back++;
    if (sent < MESSAGES) send();
    if (back === MESSAGES) done.resolve();
  });
  socket.on("close", () => done.reject(new Error("the WebSocket was closed")));
  const begunMs = performance.now();
  for (let n = 0; n < WINDOW; n++) send();
  await done.promise;
  const seconds = (performance.now() - begunMs) / 1000;
  await close(socket);
  return (MESSAGES * MESSAGE.length) / 1e6 / seconds;
}

async function memoryOfIdle({ data, pids }: UrlParty): Promise<{ readonly before: number; readonly after: number }> {
  const memory = async () => {
    await sleep(SETTLE_MS);
    const each = await Promise.all((await pids()).map(proportionalMib));
    return each.reduce((sum, mib) => sum + mib, 0);
  };
  const before = await memory();
  const sockets: WebSocket[] = [];
  while (sockets.length < IDLE) sockets.push(...(await Promise.all(Array.from({ length: AT_ONCE }, () => open(data)))));
  const after = await memory();
  await Promise.all(sockets.map(close));
  return { before, after };
}

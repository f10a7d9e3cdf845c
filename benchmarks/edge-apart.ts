/** What a gateway that runs apart costs: bytes of a connection and of a command's output, and the time of a call, against those of this process. No VM. */
import { randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import { Worker } from "node:worker_threads";
import { Secret, silentLogger } from "@mags/core";
import type { AccountId, ExecId } from "@mags/domain";
import { newJobId } from "@mags/domain";
import { connectUpstream, type EdgeUpstream } from "@mags/edge";
import { createSimulatedExecs, createSimulatedSockets } from "@mags/test-kit";
import type { Benchmark } from "./context.ts";
import { round, summarize } from "./statistics.ts";

const BYTES = 512 * 1024 * 1024;
const ROUNDS = 5;
const CALLS = 500;
const piece = Buffer.alloc(64 * 1024, "an edge apart\n");
const { signal } = new AbortController();
const guest = newJobId();
const accountId = randomUUID() as AccountId;

type Node = EdgeUpstream["node"];
interface Ports {
  readonly source: number;
  readonly sink: number;
}

async function received(node: Node, { source }: Ports): Promise<void> {
  const socket = await node.connect(guest, { host: "127.0.0.1", port: source }, { signal });
  while (await socket.read());
  socket.close();
}

async function sent(node: Node, { sink }: Ports): Promise<void> {
  const socket = await node.connect(guest, { host: "127.0.0.1", port: sink }, { signal });
  for (let count = 0; count < BYTES; count += piece.length) await socket.write(piece);
  await socket.end();
  while (await socket.read());
  socket.close();
}

async function output(node: Node): Promise<void> {
  const attachment = await node.startExec({
    ...{
      execId: randomUUID() as ExecId,
      guest,
      accountId,
      command: `head -c ${BYTES} /dev/zero`,
    },
    ...{ terminal: null, stdin: false, environment: {}, cwd: null, timeoutMs: null, leavesGroup: false },
    endsWithClient: true,
  });
  for (let outputs = await attachment.read(); outputs.length > 0; outputs = await attachment.read())
    for (const { offset, bytes } of outputs) attachment.acknowledge(offset + bytes.length);
  attachment.forget();
  attachment.detach();
}

export const edgeApart: Benchmark = async ({ say, note }) => {
  const secret = randomBytes(32).toString("hex");
  const program = new URL("./edge-upstream.ts", import.meta.url);
  const worker = new Worker(program, { workerData: { secret, guest, bytes: BYTES, accountId } });
  const [{ port, ...ports }] = (await once(worker, "message")) as [Ports & { readonly port: number }];
  const remote = connectUpstream({ log: silentLogger }, { host: "127.0.0.1", port, secret: new Secret(secret) });
  try {
    await remote.connected({ signal });
    const key = { type: "ssh-ed25519", blob: Buffer.from("key"), fingerprint: "SHA256:x" };
    const attempt = { login: "box", port: 22, clientAddress: "192.0.2.1", key };
    const user = await remote.directory.find(attempt, { signal });
    if (!user) throw new Error("nobody may sign in");
    const guests = { awaken: () => {} };
    const within = Object.assign(createSimulatedExecs(guests), createSimulatedSockets(guests));
    const figures: Record<string, number> = {};
    for (const [what, work] of Object.entries({ received, sent, output })) {
      const took = new Map<string, number[]>([
        ["in one process", []],
        ["apart", []],
      ]);
      for (let n = 0; n < ROUNDS; n++)
        for (const [place, times] of took) {
          await remote.directory.guest(user, { signal });
          const begunMs = performance.now();
          await work(place === "apart" ? remote.node : within, ports);
          times.push(performance.now() - begunMs);
        }
      for (const [place, times] of took) {
        const rate = round(BYTES / 1e3 / summarize(times).p50, 0);
        figures[`${what} ${place}`] = rate;
        say(`${what}, ${place}: ${rate} MB/s`);
      }
    }
    const calls: number[] = [];
    for (let n = 0; n < CALLS; n++) {
      const begunMs = performance.now();
      await remote.directory.find(attempt, { signal });
      calls.push(performance.now() - begunMs);
    }
    const { p50, p99 } = summarize(calls);
    say(`a call apart: P50 ${round(p50, 2)} ms, P99 ${round(p99, 2)} ms`);
    note("edge-apart", { ...figures, call_ms: { p50, p99 } });
  } finally {
    await remote[Symbol.asyncDispose]();
    await worker.terminate();
  }
};

/**
 * Files written to and read from a running VM, over the API and by the command line. Reference, in turn with it: the same in
 * a microVM that is driven by the connection to its agent alone.
 */
import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { open, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { startServer, type TestServer } from "@mags/e2e/harness";
import { type BenchClient, createBenchClient } from "./api.ts";
import { startBareAgent } from "./bare-agent.ts";
import type { Benchmark } from "./context.ts";
import { percentile, round } from "./statistics.ts";

const RUNS = 5;
const MIB = 1024 ** 2;
const TRANSFER_BYTES = 64 * MIB;
const GUEST_PATH = "/root/file";
/** Of the reference, which has no choice. */
const MEMORY_MIB = 512;
const BOUNDARY = "a-boundary-of-benchmarks";

export const files: Benchmark = async ({ say, note }) => {
  await using server = await startServer({ node: { default_memory_mb: MEMORY_MIB } });
  await using bare = await startBareAgent();
  const client = createBenchClient(server.url, server.token);
  const job = await server.submit({ script: "exec sleep infinity" });
  await server.running(job);
  await server.poolFilled(3);
  const content = randomBytes(TRANSFER_BYTES);
  const local = join(server.dataDir, "..", "file");
  const steps = stepsOf({ server, client, job, content, local });
  const samples = new Map<string, number[]>();
  const take = (name: string, ms: number) => void samples.set(name, [...(samples.get(name) ?? []), ms]);
  for (let n = 0; n < RUNS; n++) {
    take("bare agent: written", await bare.measure("write", TRANSFER_BYTES));
    take("bare agent: read", await bare.measure("read", TRANSFER_BYTES));
    for (const [name, step] of Object.entries(steps)) {
      const begunMs = performance.now();
      await step();
      take(name, performance.now() - begunMs);
    }
  }
  client.close();
  const copied = await readFile(local);
  assert.ok(copied.equals(content), "what came back is what was sent");

  say(`files of ${TRANSFER_BYTES / MIB} MiB, medians of ${RUNS} in turn, MiB/s`);
  const figures = Object.fromEntries(
    [...samples].map(([name, ms]) => [name, round((TRANSFER_BYTES / MIB / percentile(ms, 0.5)) * 1_000)]),
  );
  for (const [name, speed] of Object.entries(figures)) {
    const reference = figures[`bare agent: ${/written$|read$/.exec(name)}`];
    const share = reference === undefined || reference === speed ? "" : `, ${round(speed / reference, 2)} of it`;
    say(`  ${name.padEnd(48)} ${speed}${share}`);
  }
  note("files_mib_s", figures);
};

function stepsOf(of: {
  readonly server: TestServer;
  readonly client: BenchClient;
  readonly job: string;
  readonly content: Buffer;
  readonly local: string;
}): Readonly<Record<string, () => Promise<void>>> {
  const { server, client, job, content, local } = of;
  const path = `/mags-jobs/${job}/files?path=${encodeURIComponent(GUEST_PATH)}`;
  const head = `--${BOUNDARY}\r\ncontent-disposition: form-data; name="file"; filename="f"\r\n\r\n`;
  const form = Buffer.concat([Buffer.from(head), content, Buffer.from(`\r\n--${BOUNDARY}--\r\n`)]);
  async function copy(from: string, to: string): Promise<void> {
    const { exitCode, errors } = await server.mags(["cp", from, to]);
    assert.equal(exitCode, 0, errors);
  }
  return {
    "API: written": () => client.send("PUT", path, { type: "application/octet-stream", bytes: content }),
    "API: read": async () => assert.equal(await client.receive(path), TRANSFER_BYTES),
    "mags cp, the whole command: read": () => copy(`${job}:${GUEST_PATH}`, local),
    "mags cp, the whole command: written": () => copy(local, `${job}:${GUEST_PATH}`),
    "API: upload for jobs": () =>
      client.send("POST", "/mags-files", { type: `multipart/form-data; boundary=${BOUNDARY}`, bytes: form }),
    "reference of it: a file of this machine, synced": async () => {
      const file = join(server.dataDir, "..", "reference");
      await using handle = await open(file, "w");
      await handle.writeFile(content);
      await handle.sync();
      await rm(file);
    },
  };
}

/**
 * Kills QEMUs, PostgreSQL and the server itself in random order while jobs are submitted and run, and proves of each
 * round that all that was promised holds: every accepted job ends, no line of output is lost or doubled, jobs whose
 * QEMU was not killed end with their exact code, nothing is left on the host.
 */
import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { setTimeout as delay } from "node:timers/promises";
import { messageOf } from "@mags/core";
import { createSeededRandom, type SeededRandom, waitFor } from "@mags/test-kit";
import { trySigkill } from "./processes.ts";
import type { TestServer } from "./server.ts";
import { untilParkedOnly } from "./traces.ts";

const JOBS = 5;
const LINES = 30;
const KILLS = 3;
const VICTIMS = ["qemu", "database", "server"] as const;

interface Accepted {
  readonly id: string;
  readonly exitCode: number;
}

const script = (exitCode: number) =>
  `i=0; while [ $i -lt ${LINES} ]; do i=$((i+1)); echo line $i; echo err $i >&2; sleep 0.03; done; exit ${exitCode}`;
const lines = (word: string, count = LINES) => Array.from({ length: count }, (_, i) => `${word} ${i + 1}\n`).join("");

/** @param say  Told what happens, to follow a round that fails. */
export async function killAtRandom(
  server: TestServer,
  options: { readonly rounds: number; readonly seed: number; readonly say: (line: string) => void },
): Promise<void> {
  const random = createSeededRandom(options.seed);
  for (let round = 1; round <= options.rounds; round++) {
    const say = (line: string) => options.say(`round ${round}: ${line}`);
    await killAndCheck(server, random, say).catch((cause: unknown) => {
      throw new Error(`round ${round} of seed ${options.seed}: ${messageOf(cause)}`, { cause });
    });
  }
}

async function killAndCheck(server: TestServer, random: SeededRandom, say: (line: string) => void): Promise<void> {
  const accepted: Accepted[] = [];
  const load = submitJobs(server, random, accepted);
  const killedVms = new Set<string>();
  let up = true;
  for (let kill = 0; kill < KILLS; kill++) {
    await delay(random.next() * 700);
    const victim = random.pick(VICTIMS);
    if (victim === "qemu") {
      const vmId = await killQemu(server, random);
      if (vmId !== undefined) killedVms.add(vmId);
      say(`killed QEMU of ${vmId}`);
    } else if (victim === "server" && up) {
      await server.kill();
      up = false;
      say("killed the server");
    } else if (victim === "server") {
      await server.start();
      up = true;
      say("started the server");
    } else {
      killDatabase(await server.databasePid());
      say("killed the database");
    }
  }
  if (!up) await server.start();
  await load;
  say(`${accepted.length} jobs accepted`);
  for (const job of accepted) await checkJob(server, job, killedVms);
  // A submit whose reply was lost may have been accepted, too.
  await waitFor(async () => (await server.unfinished()).length === 0, { what: "all jobs to end", deadlineMs: 60_000 });
  await server.poolFilled(1);
  await untilParkedOnly(server);
}

/** Jobs that get their 202; what is refused or cut off meanwhile is tried again as another. */
async function submitJobs(server: TestServer, random: SeededRandom, accepted: Accepted[]): Promise<void> {
  const exitCodes = Array.from({ length: JOBS }, () => random.between(0, 119));
  const pauses = exitCodes.map(() => random.next() * 300);
  const deadline = performance.now() + 60_000;
  for (const [n, exitCode] of exitCodes.entries()) {
    await delay(pauses[n]);
    for (;;) {
      const body = { type: "inline", persistent: false, script: script(exitCode) };
      const reply = await server.api.call("POST", "/api/v1/mags-jobs", body).catch(() => undefined);
      if (reply?.status === 202) {
        accepted.push({ id: (reply.body as { request_id: string }).request_id, exitCode });
        break;
      }
      assert.ok(reply === undefined || reply.status === 503, `${reply?.status} ${JSON.stringify(reply?.body)}`);
      assert.ok(performance.now() < deadline, "the server accepts no job");
      await delay(20);
    }
  }
}

async function killQemu(server: TestServer, random: SeededRandom): Promise<string | undefined> {
  const vmIds = await readdir(join(server.dataDir, "vms"));
  const vmId = vmIds.length === 0 ? undefined : random.pick(vmIds.toSorted());
  const pid = vmId === undefined ? undefined : await server.qemuPid(vmId).catch(() => undefined); // being made, or gone
  if (pid === undefined) return undefined;
  trySigkill(pid);
  return vmId;
}

function killDatabase(pid: number | null): void {
  if (pid !== null) trySigkill(pid);
}

async function checkJob(server: TestServer, job: Accepted, killedVms: ReadonlySet<string>): Promise<void> {
  const status = await server.ended(job.id, 90_000);
  const { text, errors } = await server.mags(["logs", job.id]);
  const failed = status.status === "error";
  if (!failed) {
    assert.equal(status.exit_code, job.exitCode, job.id);
    assert.deepEqual([text, errors], [lines("line"), lines("err")], job.id);
    return;
  }
  const events = (await server.mags(["events", job.id])).text;
  const vmId = [...killedVms].find((id) => status.vm_id === id || events.includes(id));
  assert.ok(vmId !== undefined, `job ${job.id} failed, its QEMU was not killed: ${status.error_message}\n${events}`);
  assert.match(status.error_message ?? "", /the VM was lost/);
  assert.ok(lines("line").startsWith(text) && lines("err").startsWith(errors), `${text}${errors}`);
}

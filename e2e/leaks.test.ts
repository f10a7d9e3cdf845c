import assert from "node:assert/strict";
import { mkdir, readdir, rm, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { seedFrom, waitFor } from "@mags/test-kit";
import { run } from "./harness/run.ts";
import { startServer, type TestServer } from "./harness/server.ts";
import { killInSituations, SITUATIONS } from "./harness/situations.ts";

const ROUNDS = Number(process.env.LEAK_ROUNDS ?? SITUATIONS.length);
const SEED = seedFrom(process.env.LEAK_SEED);
const POOL = 2;

interface Report {
  readonly server_runs: boolean;
  readonly leaks: readonly { readonly what: string; readonly name: string }[];
  readonly for_next_start: readonly { readonly what: string; readonly name: string }[];
  readonly going_on: readonly { readonly what: string; readonly job_id: string }[];
}

let server: TestServer;
before(async () => {
  server = await startServer({ node: { pool: { min_idle: POOL, max_idle: POOL } } });
});
after(() => server[Symbol.asyncDispose]());

async function doctor(): Promise<Report & { readonly exitCode: number | null }> {
  const { exitCode, text, errors } = await server.magsd("doctor", "--leaks", "--json");
  assert.ok(text.startsWith("{"), errors);
  return { ...JSON.parse(text), exitCode };
}

describe("magsd doctor --leaks", () => {
  it("finds nothing while the server works, and nothing after it was stopped", async () => {
    const ids = await Promise.all([1, 2, 3].map(() => server.submit({ script: "sleep 1" })));
    assert.deepEqual(await doctor(), { server_runs: true, leaks: [], for_next_start: [], going_on: [], exitCode: 0 });
    for (const id of ids) await server.ended(id);
    await server.magsd("stop");
    assert.deepEqual((await doctor()).leaks, []);
    await server.start();
  });

  it("names what goes on for jobs and what waits for the next start, while the server is away", async () => {
    const id = await server.submit({ script: "sleep 300" });
    await waitFor(async () => (await server.status(id)).status === "running", { what: "the job" });
    await server.kill();
    const { leaks, going_on, for_next_start, exitCode } = await doctor();
    assert.deepEqual([leaks, exitCode], [[], 0]);
    for (const what of ["VM directory", "process", "network namespace", "network link"])
      assert.ok(
        going_on.some((found) => found.what === what && found.job_id === id),
        `${what} of the job`,
      );
    assert.ok(for_next_start.some(({ what }) => what === "database process"));
    const text = (await server.magsd("doctor", "--leaks")).text;
    assert.match(text, new RegExp(`^ok    process: \\d+ \\(qemu.*goes on for job ${id}$`, "m"));
    assert.match(text, /^nothing leaked; magsd does not run$/m);
    await server.start();
    await server.api.call("POST", `/api/v1/mags-jobs/${id}/stop`);
    await server.ended(id);
  });

  it("finds what belongs to nothing, of every kind, with exit code 1", async () => {
    const { prefix, dataDir } = server;
    const made = ["vms/lost", "work/disk-lost", "templates/lost", "mount"];
    for (const name of made) await mkdir(join(dataDir, name));
    const files = ["outcomes/x.json.01234567.tmp", "installation.json.01234567.tmp", "stranger", "disks/stranger"];
    for (const name of files) await mkdir(join(dataDir, dirname(name)), { recursive: true });
    for (const name of files) await writeFile(join(dataDir, name), "");
    const shell = async (script: string) => {
      const { exitCode, errors } = await run("sh", ["-ec", script]);
      assert.equal(exitCode, 0, errors);
    };
    await shell(`mount -t tmpfs tmpfs ${dataDir}/mount; ip netns add ${prefix}-77
      ip tuntap add ${prefix}-78 mode tap; ip addr add ${server.uplinkAddress(99)}/32 dev lo
      nft add table ip6 ${prefix}`);
    const { leaks, exitCode } = await doctor();
    assert.equal(exitCode, 1);
    const names = leaks.map(({ what, name }) => `${what}: ${name}`).toSorted();
    const expected = [
      `VM directory: ${dataDir}/vms/lost`,
      `address: ${server.uplinkAddress(99)} on lo`,
      `disk: ${dataDir}/disks/stranger`,
      `end of a job: ${dataDir}/outcomes/x.json.01234567.tmp`,
      `file: ${dataDir}/installation.json.01234567.tmp`,
      `file: ${dataDir}/mount`,
      `file: ${dataDir}/stranger`,
      `half-made: ${join(dataDir, "work", "disk-lost")}`,
      `mount: ${dataDir}/mount`,
      `network link: ${prefix}-78`,
      `network namespace: ${prefix}-77`,
      `nftables table: ip6 ${prefix}`,
      `template: ${dataDir}/templates/lost`,
    ];
    assert.deepEqual(names, expected);
    await shell(`umount ${dataDir}/mount; rmdir ${dataDir}/mount; rm ${dataDir}/stranger ${dataDir}/disks/stranger
      ip addr del ${server.uplinkAddress(99)}/32 dev lo; nft delete table ip6 ${prefix}`);
    await server.kill();
    await server.start();
    assert.deepEqual((await doctor()).leaks, [], "a start removes the others");
  });
});

describe("magsd stop while the server starts", () => {
  it("ends it at once, also in the middle of its first template, and leaves nothing", async () => {
    await server.magsd("stop", "--all");
    for (const name of await readdir(join(server.dataDir, "templates")))
      await rm(join(server.dataDir, "templates", name), { recursive: true });
    const started = server.start().then(
      () => "",
      (error: unknown) => String(error),
    );
    await waitFor(async () => (await readdir(join(server.dataDir, "vms"))).length > 0, { what: "the template's VM" });
    const begunAt = performance.now();
    assert.equal((await server.magsd("stop")).exitCode, 0);
    assert.ok(performance.now() - begunAt < 5_000, "it does not wait for the template");
    assert.match(await started, /the server did not start: it ended with code 0/);
    const { leaks, for_next_start } = await doctor();
    assert.deepEqual([leaks, for_next_start], [[], []]);
    await server.start();
  });
});

describe("kill -9 of the server", () => {
  it(`at any moment, ${ROUNDS} times: the next start leaves nothing that belongs to nothing (LEAK_SEED=${SEED})`, async () => {
    await killInSituations(server, { rounds: ROUNDS, seed: SEED, pool: POOL });
  });
});

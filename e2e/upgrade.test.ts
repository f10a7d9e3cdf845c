import assert from "node:assert/strict";
import { existsSync } from "node:fs";
import { cp, readdir, readFile, writeFile } from "node:fs/promises";
import { basename, dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, type TempDir, waitFor } from "@mags/test-kit";
import { run } from "./harness/run.ts";
import { startServer, type TestServer } from "./harness/server.ts";

const BUILT = process.env.MAGS_ARTIFACTS ?? "/var/cache/mags/artifacts.json";
const POOL = 2;

interface ArtifactsFile {
  runtime: string;
  boot: { kernel: string; initramfs: string };
  digests: { runtime: string; boot: string };
}

let temp: TempDir;
let artifacts: string;
let server: TestServer;
before(async () => {
  temp = await makeTempDir();
  artifacts = join(temp.path, "artifacts.json");
  await installBuild(1);
  server = await startServer({ config: { artifacts }, node: { pool: { min_idle: POOL, max_idle: POOL } } });
});
after(async () => {
  await server[Symbol.asyncDispose]();
  await temp[Symbol.asyncDispose]();
});

/** Another build: runtime root and kernel with agent are copies of their own, under digests of their own. */
async function installBuild(number: number): Promise<void> {
  const built = JSON.parse(await readFile(BUILT, "utf8")) as ArtifactsFile;
  const runtime = join(temp.path, `runtime-${number}`);
  const { exitCode, errors } = await run("cp", ["-a", "--reflink=auto", dirname(built.runtime), runtime]);
  assert.equal(exitCode, 0, errors);
  const boot = join(temp.path, `boot-${number}`);
  await cp(dirname(built.boot.kernel), boot, { recursive: true });
  const digest = `sha256:${String(number).padStart(64, "0")}`;
  const here = (path: string) => join(boot, basename(path));
  await writeFile(
    artifacts,
    JSON.stringify({
      ...built,
      runtime: join(runtime, basename(built.runtime)),
      boot: { ...built.boot, kernel: here(built.boot.kernel), initramfs: here(built.boot.initramfs) },
      digests: { ...built.digests, runtime: digest, boot: digest },
    }),
  );
}

/** Keys of the templates that the VMs are made from, of one VM apart. */
async function templatesOfVms(apart: string): Promise<Set<string>> {
  const keys = new Set<string>();
  for (const name of await readdir(join(server.dataDir, "vms"))) {
    if (name === apart) continue;
    const record = await readFile(join(server.dataDir, "vms", name, "vm.json"), "utf8").catch(() => "{}");
    keys.add((JSON.parse(record) as { templateKey: string }).templateKey);
  }
  return keys;
}

async function startCounting(
  lines: number,
): Promise<{ readonly id: string; readonly vmId: string; readonly pid: number }> {
  const script = `i=0; while [ $i -lt ${lines} ]; do i=$((i+1)); echo line $i; sleep 0.1; done; cat /tmp/go 2>/dev/null; exit 9`;
  const id = await server.submit({ script });
  const vmId = await waitFor(async () => (await server.status(id)).vm_id, { what: "its VM" });
  return { id, vmId, pid: await server.qemuPid(vmId) };
}

describe("an upgrade to a build with another runtime root, kernel and agent", () => {
  const ways: readonly [string, () => Promise<unknown>][] = [
    ["magsd stop", () => server.magsd("stop")],
    ["kill -9", () => server.kill()],
  ];
  for (const [n, [way, end]] of ways.entries())
    it(`after ${way} keeps the VM of a running job, and makes all others anew`, async () => {
      await server.poolFilled(POOL);
      const lines = 150;
      const { id, vmId, pid } = await startCounting(lines);
      const [before] = await templatesOfVms(vmId);
      await end();
      await installBuild(n + 2);
      await server.start();
      assert.ok(existsSync(`/proc/${pid}`), "its QEMU runs on");
      assert.equal(await server.qemuPid(vmId), pid);
      assert.equal((await server.mags(["exec", id, "echo still there"])).text, "still there\n");
      await server.poolFilled(POOL);
      await waitFor(async () => !(await templatesOfVms(vmId)).has(before ?? ""), { what: "the end of old clones" });
      assert.equal((await server.mags(["run", "echo new"])).text, "new\n");
      assert.equal((await server.ended(id)).exit_code, 9);
      const numbers = Array.from({ length: lines }, (_, i) => `line ${i + 1}\n`).join("");
      assert.equal((await server.mags(["logs", id])).text, numbers);
      const { text, exitCode } = await server.magsd("doctor", "--leaks");
      assert.equal(exitCode, 0, text);
    });
});

describe("a downgrade", () => {
  it("is refused while VMs of a version it does not know exist, which go on", async () => {
    const { id, vmId, pid } = await startCounting(1_000);
    await server.magsd("stop");
    const path = join(server.dataDir, "vms", vmId, "vm.json");
    const record = await readFile(path, "utf8");
    await writeFile(path, JSON.stringify({ ...JSON.parse(record), version: 2 }));
    const { exitCode, errors } = await server.magsd("start");
    assert.equal(exitCode, 1);
    assert.match(errors, new RegExp(`a newer version of Mags made VMs .*${vmId}.*install that version again`));
    assert.ok(existsSync(`/proc/${pid}`));
    await writeFile(path, record);
    await server.start();
    assert.equal((await server.mags(["exec", id, "echo on"])).text, "on\n");
    await server.api.call("POST", `/api/v1/mags-jobs/${id}/stop`);
    await server.ended(id);
  });
});

describe("a change of the names and numbers on the host", () => {
  it("is refused while VMs of jobs go on, and leaves nothing of the old ones afterwards", async () => {
    const { id } = await startCounting(1_000);
    await server.magsd("stop");
    const network = { prefix: `${server.prefix}x`, uplink_range: server.uplinkAddress(0).concat("/25") };
    await server.configure({ network });
    const { exitCode, errors } = await server.magsd("start");
    assert.equal(exitCode, 1);
    assert.match(errors, /prefix was \S+ and is \S+ now, .*VMs of 1 jobs go on with the earlier setting/);
    await server.configure({});
    await server.start();
    await server.api.call("POST", `/api/v1/mags-jobs/${id}/stop`);
    await server.ended(id);
    await server.magsd("stop", "--all");
    await server.configure({ network });
    await server.start();
    const named = async (script: string) => (await run("sh", ["-c", script])).text;
    assert.equal(
      await named(`ls /run/netns | grep '^${server.prefix}-'; nft list tables | grep -w '${server.prefix}'`),
      "",
    );
    await server.magsd("stop", "--all");
    await server.configure({});
    await server.start();
  });
});

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { randomBytes } from "node:crypto";
import { after, describe, it } from "node:test";
import { messageOf } from "@mags/core";
import { launchCommand } from "@mags/runtime-root";
import { type Cgroups, openCgroups } from "../../src/host/cgroups.ts";
import { loadArtifacts } from "../../src/images/artifacts.ts";
import { ARTIFACTS } from "./support.ts";

const UID = 1_911_000_000;
const MIB = 1024 ** 2;
const LIMITS = { memoryBytes: 64 * MIB, cpuWeight: 100, pids: 20 } as const;

const opened = await openCgroups(`tcg${randomBytes(3).toString("hex")}`).catch(messageOf);
const skip = typeof opened === "string" && `this host has none that can be used: ${opened}`;

describe("control groups", { skip }, () => {
  const cgroups = opened as Cgroups;
  after(() => cgroups.removeAll());

  async function runInside(script: string): Promise<number | null> {
    const { runtime } = await loadArtifacts(ARTIFACTS);
    const files = await cgroups.create("one", LIMITS);
    const command = launchCommand(runtime, {
      ...{ program: "/bin/sh", args: ["-c", script], binds: [], uid: UID, gid: UID, env: { PATH: "/usr/bin" } },
      cgroups: files,
    });
    const { status } = spawnSync(command.file, [...command.args], { timeout: 60_000 });
    assert.deepEqual(await cgroups.list(), ["one"]);
    await cgroups.remove("one");
    assert.deepEqual(await cgroups.list(), []);
    return status;
  }

  /** A variable of ten bytes, doubled. */
  const grow = (times: number) => `i=0; x=0123456789; while [ $i -lt ${times} ]; do x=$x$x; i=$((i+1)); done`;
  /** Shells that wait for shells. */
  const nest = (depth: number) => `f() { [ $1 = 0 ] || ( f $(($1 - 1)); r=$?; exit $r ); }; f ${depth}`;

  it("let a program that keeps to them be", async () => {
    assert.equal(await runInside(grow(20)), 0);
    assert.equal(await runInside(nest(10)), 0);
  });

  it("end a program that takes more memory", async () => {
    assert.notEqual(await runInside(grow(24)), 0);
  });

  it("refuse more processes than allowed", async () => {
    assert.notEqual(await runInside(nest(40)), 0);
  });

  it("can be set to what others leave of the processors, and back", async () => {
    await cgroups.create("one", { ...LIMITS, cpuWeight: "idle" });
    await cgroups.setCpuWeight("one", 100);
    await cgroups.setCpuWeight("one", "idle");
    await cgroups.remove("one");
  });
});

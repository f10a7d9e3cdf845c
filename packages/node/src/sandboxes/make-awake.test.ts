import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { AppError } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { makeAwake } from "./make-awake.ts";
import { diskIdentity, sealOf } from "./memory-file.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxRecord } from "./sandbox-record.ts";
import { machineOf } from "./save.ts";

const FULL = Object.assign(new Error("no space left on device"), { code: "ENOSPC" });

/** Wakes one that sleeps with a sound memory, on a host that launches nothing. @returns what was told meanwhile. */
async function wakeWhere(
  directory: string,
  { launch, template }: { readonly launch: Error; readonly template: Error },
) {
  const place = { directory, disk: join(directory, "disk"), memory: join(directory, "memory") };
  for (const path of [place.disk, place.memory]) await writeFile(path, "bytes");
  const told: string[] = [];
  const fails = (name: string, error: Error) => async () => {
    told.push(name);
    throw error;
  };
  const deps = {
    ...{ accelerator: "tcg", runtimeDigest: "q", maxDiskGiB: 8, store: { placeOf: () => place } },
    ...{ host: { launch: fails("launch", launch) }, templates: { get: fails("template", template) } },
  } as unknown as SandboxDeps;
  const size = { image: "standard", vcpus: 1, memoryMiB: 256, diskGiB: 8, egress: "none" as const };
  const memory = {
    ...{ seal: await sealOf(place.memory), runtimeDigest: "q", machine: machineOf(deps, { size }) },
    disk: await diskIdentity(place.disk),
  };
  const record = { id: randomUUID(), size, image: { directory }, base: null, asleep: { memory } };
  const woken = makeAwake(deps, {
    ...{ record: () => record as unknown as SandboxRecord, warmOnly: false, signal: new AbortController().signal },
    onFailure: () => {},
    write: async () => void told.push("written"),
    onCold: () => void told.push("cold"),
    onCommit: () => void told.push("runs"),
  });
  return { told, error: await woken.then(() => undefined).catch((error: unknown) => error as AppError) };
}

describe("makeAwake", () => {
  it("leaves one whose memory does not fit asleep, with it, when it may not be woken without", async () => {
    const deps = { store: { placeOf: () => ({}) }, runtimeDigest: "new" } as unknown as SandboxDeps;
    const record = { asleep: { memory: { runtimeDigest: "old" } } } as unknown as SandboxRecord;
    const over = () => assert.fail("what runs in it is not over");
    const woken = makeAwake(deps, {
      ...{ record: () => record, warmOnly: true, signal: new AbortController().signal },
      ...{ write: async () => over(), onFailure: over, onCold: over, onCommit: over },
    });
    await assert.rejects(woken, {
      code: "unavailable",
      message: /left asleep: its memory is of another version of QEMU/,
    });
  });

  it("keeps a memory that could not be loaded for what the host is short of", async () => {
    await using temp = await makeTempDir();
    const { told, error } = await wakeWhere(temp.path, { launch: FULL, template: new Error("not asked for") });
    assert.equal(error?.code, "unavailable");
    assert.match(error.message, /no space left on device; its memory and its disk are kept, try again/);
    assert.deepEqual(told, ["launch", "launch", "launch"]);
  });

  it("does not end what runs in one that could be woken neither with its memory nor without", async () => {
    await using temp = await makeTempDir();
    const launch = new AppError("internal", "QEMU could not move the device state");
    const { told, error } = await wakeWhere(temp.path, { launch, template: FULL });
    assert.equal(error?.code, "unavailable");
    assert.deepEqual(told, [...Array(3).fill("launch"), ...Array(3).fill("template")]);
  });
});

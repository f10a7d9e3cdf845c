import assert from "node:assert/strict";
import { chmod, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { type QemuSpec, spawnQemu } from "./spawn.ts";

const SPEC: QemuSpec = {
  args: [],
  accelerator: "tcg",
  uid: 1,
  network: { index: 1, namespace: "/none", tap: "none" },
  jailDirectory: "/none",
  imageDirectory: "/none",
  template: { directory: "/none", writable: false },
  cgroups: [],
  sockets: { qmp: "/none", control: "/none", bulk: "/none" },
  limits: { fileBytes: 1, mostFileBytes: 1, processes: 1, addressBytes: 1 },
  idlePriority: false,
};

/** A program in the launcher's place. */
async function ending(script: string) {
  await using directory = await makeTempDir();
  const launcher = join(directory.path, "launcher");
  await writeFile(launcher, `#!/bin/sh\n${script}\n`);
  await chmod(launcher, 0o700);
  const { ended } = await spawnQemu({ dir: "/none", launcher }, SPEC);
  return await ended;
}

describe("spawnQemu", () => {
  it("tells how QEMU ended and what it said last, without what acts on a terminal", async () => {
    const script = "/usr/bin/sleep 0.5; printf 'no such device\\033[2J\\n' >&2; exit 3";
    assert.deepEqual(await ending(script), { how: "ended with code 3", output: "no such device\ufffd[2J" });
  });

  it("stops listening to one that talks without end", { timeout: 60_000 }, async () => {
    const block = "/usr/bin/head -c 65536 /dev/zero >&2";
    const { how, output } = await ending(`trap '' PIPE; for n in $(/usr/bin/seq 1000); do ${block} || exit 4; done`);
    assert.equal(how, "ended with code 4");
    assert.ok(output.length <= 2_000);
  });
});

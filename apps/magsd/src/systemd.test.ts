import assert from "node:assert/strict";
import { mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { serverUnit } from "./systemd.ts";

/** A systemd whose `systemctl` writes down how it was called, and answers `show` with the given state. */
async function fakeSystemd(dir: string, state = "") {
  const place = { booted: join(dir, "run"), units: join(dir, "units"), systemctl: join(dir, "systemctl") };
  for (const folder of [place.booted, place.units]) await mkdir(folder);
  for (const unit of ["magsd.service", "mags-vms.service"]) await writeFile(join(place.units, unit), "");
  const script = `#!/bin/sh
echo "$*" >> ${dir}/calls
case $1 in show) printf '${state}';; start) [ ! -e ${dir}/broken ] || { echo 'Unit is masked.' >&2; exit 1; };; esac\n`;
  await writeFile(place.systemctl, script, { mode: 0o755 });
  return { place, calls: async () => (await readFile(join(dir, "calls"), "utf8")).trim().split("\n") };
}

describe("serverUnit", () => {
  it("is there only where systemd runs and has the unit", async () => {
    await using temp = await makeTempDir();
    const { place } = await fakeSystemd(temp.path);
    assert.ok(serverUnit(place));
    assert.equal(serverUnit({ ...place, booted: join(temp.path, "no") }), undefined);
    assert.equal(serverUnit({ ...place, units: temp.path }), undefined);
  });

  it("starts and stops it, and says in a line why that failed", async () => {
    await using temp = await makeTempDir();
    const { place, calls } = await fakeSystemd(temp.path);
    await serverUnit(place)?.start();
    await serverUnit(place)?.stop();
    assert.deepEqual(await calls(), ["start magsd.service", "stop magsd.service"]);
    await writeFile(join(temp.path, "broken"), "");
    await assert.rejects(
      async () => serverUnit(place)?.start(),
      /^AppError: systemctl start magsd\.service failed: Unit is masked\.$/,
    );
  });

  const states: readonly [string, string, string | undefined][] = [
    ["a server that runs", "ActiveState=active\\nSubState=running\\n", undefined],
    ["one that begins", "ActiveState=activating\\nSubState=start\\n", undefined],
    [
      "one that ended and will be tried again",
      "ActiveState=activating\\nSubState=auto-restart\\nResult=exit-code\\nExecMainStatus=1\\n",
      "systemd says: exit-code, status 1",
    ],
    [
      "one that was tried again already",
      "ActiveState=active\\nSubState=running\\nResult=success\\nExecMainStatus=0\\nNRestarts=1\\n",
      "systemd says: success, status 0",
    ],
    [
      "one that is not tried again",
      "ActiveState=failed\\nSubState=failed\\nResult=exit-code\\nExecMainStatus=78\\n",
      "systemd says: exit-code, status 78",
    ],
  ];
  for (const [what, state, ended] of states)
    it(`knows ${what}`, async () => {
      await using temp = await makeTempDir();
      const { place } = await fakeSystemd(temp.path, state);
      assert.equal(await serverUnit(place)?.ended(), ended);
    });

  it("removes the units", async () => {
    await using temp = await makeTempDir();
    const { place, calls } = await fakeSystemd(temp.path);
    await serverUnit(place)?.remove();
    assert.deepEqual(await readdir(place.units), []);
    assert.deepEqual(await calls(), ["disable magsd.service", "stop mags-vms.service", "daemon-reload"]);
  });
});

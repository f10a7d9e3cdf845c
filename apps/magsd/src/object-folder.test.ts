import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { checkObjectStore } from "./commands/check-object-store.ts";
import { claimObjectFolder } from "./object-folder.ts";
import { openConfiguredStore } from "./object-store.ts";

describe("claimObjectFolder", () => {
  it("makes the folder once; afterwards nothing makes it, and no other is taken for it", async () => {
    await using dir = await makeTempDir();
    const config = { data_dir: dir.path, object_store: { kind: "filesystem" } } as const;
    const [objects, away] = [join(dir.path, "objects"), join(dir.path, "away")];
    const openStore = () => openConfiguredStore(config, { log: silentLogger });
    await assert.rejects(openStore(), { code: "unavailable" });
    await claimObjectFolder(config);
    {
      await using store = await openStore();
      await store.put("a", Buffer.from("1"));
    }

    await rename(objects, away);
    await claimObjectFolder(config);
    await assert.rejects(openStore(), { code: "unavailable", message: /is not there: is what it lies on mounted\?$/ });
    const { state, found, cure } = await checkObjectStore(config, { patienceMs: 1_000 });
    assert.equal(state, "fail");
    assert.match(`${found} → ${cure}`, /is not there.* → mount it; /);
    assert.deepEqual((await readdir(dir.path)).sort(), ["away", "objects.id"]);

    await mkdir(objects); // where nothing is mounted
    await assert.rejects(openStore(), { message: /is not there/ });
    assert.deepEqual(await readdir(objects), []);

    await claimObjectFolder({ data_dir: join(dir.path, "other") }); // of another installation
    await rm(objects, { recursive: true });
    await rename(join(dir.path, "other/objects"), objects);
    await assert.rejects(openStore(), { message: /holds another object store/ });

    await rm(objects, { recursive: true });
    await rename(away, objects);
    await using store = await openStore();
    assert.equal((await store.get("a")).bytes.toString(), "1");
  });

  it("takes a store that is there, as one that was copied or was made before its identity was kept", async () => {
    await using dir = await makeTempDir();
    await mkdir(join(dir.path, "objects/tree"), { recursive: true });
    await claimObjectFolder({ data_dir: dir.path });
    const kept = await readFile(join(dir.path, "objects.id"), "utf8");
    assert.equal(await readFile(join(dir.path, "objects/id"), "utf8"), kept);
    await rm(join(dir.path, "objects.id")); // as after a crash between the two
    await claimObjectFolder({ data_dir: dir.path });
    assert.equal(await readFile(join(dir.path, "objects.id"), "utf8"), kept);
  });
});

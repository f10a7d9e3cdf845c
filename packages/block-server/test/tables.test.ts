/** What a sync reads of the version before: the tables of the places that changed. */
import assert from "node:assert/strict";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { makeTempDir, type TempDir } from "@mags/test-kit";
import { newDisk, newFaultyStore } from "./disks.ts";
import { startTestServer, write } from "./harness.ts";

let temp: TempDir;
before(async () => {
  temp = await makeTempDir();
});
after(() => temp[Symbol.asyncDispose]());

describe("the tables of the version before", () => {
  it("are at hand where it was written, and are read from the store elsewhere", async () => {
    const faulty = newFaultyStore();
    const packsRead = () => faulty.calls.filter((label) => /^get .*packs/.test(label)).length;
    await using server = await startTestServer(faulty, join(temp.path, "here"));
    const disk = await newDisk(server, temp.path);
    await write(disk.path, "write -P 1 0 1M", "write -P 1 100M 1M");
    await disk.sync();
    await write(disk.path, "write -P 2 0 64k", "write -P 2 100M 64k");
    assert.ok(await disk.isPublished(await disk.sync()));
    const before = packsRead();
    await write(disk.path, "write -P 3 0 64k", "write -P 3 100M 64k");
    const version = await disk.sync();
    assert.equal(packsRead(), before);
    assert.ok(await disk.isPublished(version));

    const other = { holder: "node-a", account: server.account };
    await server[Symbol.asyncDispose]();
    await using emptyCache = await startTestServer(faulty, join(temp.path, "there"), other);
    const elsewhere = packsRead();
    await write(disk.path, "write -P 4 0 64k", "write -P 4 100M 64k");
    const next = await disk.sync(emptyCache);
    assert.ok(packsRead() > elsewhere);
    assert.ok(await disk.isPublished(next));
  });
});

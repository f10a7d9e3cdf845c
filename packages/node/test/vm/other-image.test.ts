import assert from "node:assert/strict";
import { createHash } from "node:crypto";
import { appendFile, copyFile, mkdir, readdir, readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import type { JobId, NodeUpdate } from "@mags/domain";
import { ARTIFACTS } from "./support.ts";
import { openSyncedNode, refOf, type SyncedNode } from "./synced-node.ts";

let tests: SyncedNode;

before(async () => {
  tests = await openSyncedNode({ prefix: "tim", network: "10.246.0.0/24", uidBase: 1_945_000_000 });
});
after(async () => {
  await tests?.[Symbol.asyncDispose]();
});

/** An installation whose standard image has the same files, and a block of zeros behind them: another digest. */
async function otherInstallation(): Promise<string> {
  const directory = join(tests.dataDirectory, "installed");
  await mkdir(directory);
  const artifacts = JSON.parse(await readFile(ARTIFACTS, "utf8"));
  const { standard } = artifacts.images;
  const base = join(directory, "base.erofs");
  await copyFile(standard.base, base);
  await appendFile(base, Buffer.alloc(4096));
  const digest = `sha256:${createHash("sha256")
    .update(await readFile(base))
    .digest("hex")}`;
  const path = join(directory, "artifacts.json");
  await writeFile(path, JSON.stringify({ ...artifacts, images: { standard: { ...standard, base, digest } } }));
  return path;
}

describe("a node whose image is another", () => {
  it("opens a workspace with the image that it was made in, out of the object store; and says that it takes longer", async () => {
    const target = tests.newTarget("older");
    const first = await tests.sandboxWith({ syncTo: target }, "echo kept >/root/f");
    await tests.sync(first);
    await tests.node.releaseSandbox(first, { reason: "stop" });
    const made = await imagesInStore();
    assert.equal(made.length, 1);
    await tests.restart(undefined, await otherInstallation());

    const notes: (JobId | string)[] = [];
    tests.node.onUpdate((update: NodeUpdate) => {
      if (update.type === "note") notes.push(update.name);
    });
    const latest = await tests.latest(target);
    const from = refOf(target, latest);
    const twice = await Promise.all([tests.sandboxWith({ from, syncTo: target }), tests.sandboxWith({ from })]);
    for (const id of twice) assert.equal(await tests.run(id, "cat /root/f"), "kept\n");
    assert.ok(notes.includes("image_fetch"), notes.join());
    const [fetched] = (await tests.node.images.list()).filter(({ record }) => record?.source.kind === "store");
    assert.deepEqual(fetched?.names, []);
    assert.equal(fetched?.digest, `sha256:${made[0]}`);

    const [writer, reader] = twice;
    await tests.run(writer, "echo more >>/root/f");
    assert.equal((await tests.sync(writer)).seq, latest.seq + 1);
    await tests.node.sleepSandbox(writer, { reason: "requested" });
    assert.equal(await tests.run(writer, "cat /root/f"), "kept\nmore\n");
    await tests.node.releaseSandbox(reader, { reason: "test" });
    assert.deepEqual(await tests.node.images.collect(), [], "a sandbox needs it");
    await tests.node.releaseSandbox(writer, { reason: "stop" });
    assert.deepEqual(await tests.node.images.collect(), [fetched?.digest]);

    const own = tests.newTarget("newer");
    const second = await tests.sandboxWith({ syncTo: own }, "echo new >/root/f");
    await tests.sync(second);
    await tests.node.releaseSandbox(second, { reason: "stop" });
    assert.equal((await imagesInStore()).length, 2);
  });
});

const imagesInStore = async () =>
  (await readdir(join(tests.dataDirectory, "objects", "tree", "images"))).filter((n) => n.length === 64);

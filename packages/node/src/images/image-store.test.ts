import assert from "node:assert/strict";
import { mkdir, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { type Logger, silentLogger } from "@mags/core";
import { makeTempDir, type TempDir } from "@mags/test-kit";
import type { Image, ImageDraft } from "./image.ts";
import { type ImageStore, openImageStore } from "./image-store.ts";

const DIGESTS = ["a", "b"].map((digit) => `sha256:${digit.repeat(64)}`) as [string, string];
const STANDARD: Image = { name: "standard", directory: "/image", digest: `sha256:${"0".repeat(64)}`, caBundle: null };
const NEVER = () => false;

describe("the image store", () => {
  let temp: TempDir;
  let root: string;
  let logged: string[];
  beforeEach(async () => {
    temp = await makeTempDir();
    root = join(temp.path, "images");
    logged = [];
  });
  afterEach(() => temp[Symbol.asyncDispose]());

  const log: Logger = {
    ...silentLogger,
    error: (event) => void logged.push(event),
    warn: (event) => void logged.push(event),
  };
  const open = () => openImageStore(root, { installed: new Map([["standard", STANDARD]]), log });
  const directories = async () => (await readdir(root)).filter((name) => name !== "names.json").map((name) => name[0]);

  async function publish(store: ImageStore, name: string, digest: string, meanwhile = async (_build: string) => {}) {
    const draft: ImageDraft = {
      ...{ version: 1, digest, sizeBytes: 1, entries: 1, devicesLeftOut: 0, caBundle: "/etc/ssl/cert.pem" },
      source: { file: "x.tar", kind: "tree" },
    };
    const build = `build-${digest.slice(7, 11)}`;
    await mkdir(join(root, build));
    await writeFile(join(root, build, "base.erofs"), "x");
    await writeFile(join(root, build, "ca-certificates.crt"), "certificates");
    await writeFile(join(root, build, "draft.json"), JSON.stringify(draft));
    await store.openBuild(build, name);
    await meanwhile(join(root, build));
    return store.publish(build, name, {
      ...draft,
      createdAt: new Date().toISOString(),
      tools: { found: [], missing: [] },
    });
  }

  it("finds after a restart what was published, by name and by content", async () => {
    const [first] = DIGESTS;
    const store = await open();
    await publish(store, "b", first);
    await publish(store, "a", first);
    const again = await open();
    assert.deepEqual(again.names(), ["standard", "a", "b"]);
    assert.deepEqual(
      again.imported().map(({ names, digest }) => [names, digest]),
      [[["a", "b"], first]],
    );
    const { directory, caBundle } = again.get("a");
    assert.deepEqual(caBundle, { file: join(directory, "ca-certificates.crt"), guestPath: "/etc/ssl/cert.pem" });
    assert.equal(again.get("standard"), STANDARD);
    assert.throws(() => again.get("c"), /no image "c"; there are standard, a, b/);
  });

  it("keeps a content while a name means it, somebody holds it or it is in use, and removes it then", async () => {
    const [first, second] = DIGESTS;
    const store = await open();
    await publish(store, "x", first);
    const held = store.hold("x");
    await publish(store, "x", second);
    assert.equal(store.get("x").digest, second);
    assert.deepEqual(await store.collect(NEVER), []);
    held[Symbol.dispose]();
    assert.deepEqual(await store.collect((digest) => digest === first), []);
    assert.deepEqual(await store.collect(NEVER), [first]);
    assert.deepEqual(await directories(), ["b"]);
  });

  it("says at the start which names have lost their content, and offers them no more", async () => {
    const [first, second] = DIGESTS;
    const store = await open();
    await publish(store, "lost", first);
    await publish(store, "kept", second);
    await rm(join(root, first.slice(7)), { recursive: true });
    const again = await open();
    assert.deepEqual([again.names(), logged], [["standard", "kept"], ["image.missing"]]);
    assert.throws(() => again.get("lost"), /there are standard, kept/);
    await publish(again, "lost", first);
    assert.equal(again.get("lost").digest, first);
  });

  it("takes a directory without a record for no image, and collects it; a write that was cut off is gone", async () => {
    const [first] = DIGESTS;
    const store = await open();
    await publish(store, "x", first);
    await store.forget("x");
    await rm(join(root, first.slice(7), "image.json"));
    await writeFile(join(root, "names.json.0123abcd.tmp"), "{");
    const again = await open();
    assert.deepEqual([again.imported(), logged], [[], ["image.not_readable"]]);
    await again.collect(NEVER);
    assert.deepEqual(await directories(), []);
  });

  it("leaves a name as it was when it cannot be written", async () => {
    const store = await open();
    await publish(store, "x", DIGESTS[0]);
    await rm(root, { recursive: true });
    await assert.rejects(store.forget("x"), { code: "ENOENT" });
    assert.deepEqual(store.names(), ["standard", "x"]);
  });

  it("gives no name to a build that is removed meanwhile, in whole or in part, and leaves nothing of it", async () => {
    const [first, second] = DIGESTS;
    const store = await open();
    await publish(store, "kept", first);
    for (const lost of ["", "base.erofs", "ca-certificates.crt", "draft.json"])
      for (const digest of DIGESTS)
        await assert.rejects(
          publish(store, "x", digest, (build) => rm(join(build, lost), { recursive: true })),
          { code: "unavailable", message: /the import ended meanwhile/ },
          `${lost} of ${digest}`,
        );
    await assert.rejects(
      publish(store, "x", second, (build) => writeFile(join(build, "base.erofs"), "")),
      { code: "unavailable", message: /the import ended meanwhile/ },
    );
    assert.deepEqual([store.names(), await directories()], [["standard", "kept"], ["a"]]);
    assert.deepEqual((await open()).names(), ["standard", "kept"]);
  });

  it("takes a fetched content in without a name, finds it by digest, also after a restart, and collects it", async () => {
    const [first] = DIGESTS;
    const store = await open();
    assert.equal(store.holdContent(STANDARD.digest, "other")?.image, STANDARD);
    assert.equal(store.holdContent(first, "theirs"), undefined);
    {
      await using given = await store.beginFetch(first);
      await writeFile(given.disk, "half");
    }
    assert.deepEqual(await directories(), []);
    {
      await using fetched = await store.beginFetch(first);
      await writeFile(fetched.disk, "x");
      await writeFile(fetched.caBundle, "certificates");
      await fetched.finish({ diskBytes: 1, caBundlePath: "/etc/ssl/cert.pem", createdAt: new Date() });
    }
    await mkdir(join(root, "fetch-0123456789ab"));
    const again = await open();
    assert.deepEqual([await directories(), again.names()], [["a"], ["standard"]]);
    const held = again.holdContent(first, "theirs");
    assert.equal(held?.image.name, "theirs");
    assert.equal(await readFile(join(held?.image.directory ?? "", "base.erofs"), "utf8"), "x");
    assert.deepEqual(await again.collect(NEVER), []);
    held?.[Symbol.dispose]();
    assert.deepEqual(await again.collect(NEVER), [first]);
  });

  it("takes a content in once that comes from several sides at the same time, also while others are collected", async () => {
    const [first] = DIGESTS;
    const store = await open();
    const bring = async () => {
      await using given = await store.beginFetch(first);
      await writeFile(given.disk, "x");
      await given.finish({ diskBytes: 1, caBundlePath: null, createdAt: new Date() });
      using held = store.holdContent(first, "theirs");
      assert.ok(held);
      assert.equal(await readFile(join(held.image.directory, "base.erofs"), "utf8"), "x");
    };
    const isUsed = (digest: string) => digest === first && store.imported().length > 0;
    for (let round = 0; round < 20; round++) {
      const looks = Array.from({ length: 5 }, () => store.collect(isUsed));
      await Promise.all([bring(), publish(store, "a", first), bring(), ...looks]);
      assert.equal(await readFile(join(store.get("a").directory, "base.erofs"), "utf8"), "x");
      await store.forget("a");
      await store.collect(NEVER);
      assert.deepEqual(await directories(), []);
    }
  });

  it("refuses a fetched disk that is not as long as was said", async () => {
    const store = await open();
    await using given = await store.beginFetch(DIGESTS[0]);
    await writeFile(given.disk, "x");
    const finished = given.finish({ diskBytes: 2, caBundlePath: null, createdAt: new Date() });
    await assert.rejects(finished, { code: "unavailable", message: /not fetched whole: its disk has 1 of 2 bytes/ });
    assert.deepEqual(store.imported(), []);
  });

  it("removes at the start what a publication that was cut off has left", async () => {
    await mkdir(join(root, "publish-0123456789ab"), { recursive: true });
    await writeFile(join(root, "publish-0123456789ab", "base.erofs"), "x");
    await open();
    assert.deepEqual(await directories(), []);
  });

  it("refuses names and builds that cannot be", async () => {
    const store = await open();
    for (const name of ["", "Upper", "a/b", "..", "-x", "x".repeat(64)])
      await assert.rejects(store.openBuild("build-1", name), /is no name for an image/);
    await assert.rejects(store.openBuild("build-1", "standard"), /cannot be replaced/);
    await assert.rejects(store.openBuild("../../etc", "x"), /is no import/);
  });
});

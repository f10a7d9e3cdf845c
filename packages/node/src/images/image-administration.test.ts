import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createImages, type ImagesDeps } from "./image-administration.ts";
import type { ImageStore } from "./image-store.ts";

describe("createImages", () => {
  it("removes no image that a job runs in, here or elsewhere, and names the jobs", async () => {
    const forgotten: string[] = [];
    const store = {
      get: (name: string) => ({ name, directory: "/", digest: "sha256:0", caBundle: null }),
      forget: async (name: string) => void forgotten.push(name),
      collect: async () => [],
    } as Partial<ImageStore> as ImageStore;
    let here: readonly string[] = ["job 1"];
    const deps = { store, installed: new Map(), usersOf: () => here, whatIsInUse: async () => () => false };
    const images = createImages(deps as Partial<ImagesDeps> as ImagesDeps);
    await assert.rejects(images.remove("mine"), /in use by job 1: wait/);
    await assert.rejects(
      images.remove("mine", () => ["job 2"]),
      /in use by job 1, job 2: wait/,
    );
    here = [];
    await assert.rejects(
      images.remove("mine", () => ["job 2"]),
      /in use by job 2: wait/,
    );
    assert.deepEqual(forgotten, []);
    await images.remove("mine", () => []);
    assert.deepEqual(forgotten, ["mine"]);
  });

  it("collects of what was fetched only what is idle and unused, and leaves imports to the operator", async () => {
    const imported = ["a", "b", "c", "d"].map((digest) => ({
      digest,
      source: { kind: digest === "d" ? "tree" : "store" },
    }));
    const templates: string[] = [];
    const store = {
      imported: () => imported,
      collect: async (isUsed: (digest: string) => boolean) =>
        imported.flatMap(({ digest }) => (isUsed(digest) ? [] : [digest])),
    } as unknown as ImageStore;
    const deps = {
      store,
      installed: new Map(),
      whatIsInUse: async () => (digest: string) => digest === "a",
      removeTemplates: async (digest: string) => void templates.push(digest),
    };
    const images = createImages(deps as Partial<ImagesDeps> as ImagesDeps);
    assert.deepEqual(await images.collectFetched((digest) => digest !== "c"), ["b"]);
    assert.deepEqual(templates, ["b"]);
    assert.deepEqual(await images.collectFetched(() => false), []);
  });

  it("leaves what comes into use while others are removed", async () => {
    const inUse = new Set<string>();
    const store = {
      imported: () => [],
      async collect(isUsed: (digest: string) => boolean) {
        const first = ["a", "b"].filter((digest) => !isUsed(digest));
        inUse.add("b");
        return first.filter((digest) => !isUsed(digest));
      },
    } as unknown as ImageStore;
    const deps = {
      store,
      installed: new Map(),
      whatIsInUse: async () => (digest: string) => inUse.has(digest),
      removeTemplates: async () => {},
    };
    const images = createImages(deps as Partial<ImagesDeps> as ImagesDeps);
    assert.deepEqual(await images.collect(), ["a"]);
  });
});

/** Images to keep in a store, and what comes back of them. */
import { createHash, randomBytes } from "node:crypto";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import type { ObjectStore } from "@mags/object-store";
import { makeTempDir } from "@mags/test-kit";
import { fetchImage, type ImageFiles } from "../src/index.ts";
import { signal } from "./harness.ts";

export const MIB = 1 << 20;

export interface ImageBench extends AsyncDisposable {
  /** Where `fetched` has its files, beside those of the images. */
  readonly path: string;
  /** Half of it compresses. */
  newImage(bytes: number): Promise<ImageFiles>;
  fetched(store: ObjectStore, digest: string): ReturnType<typeof fetchedTo>;
}

export async function openImageBench(): Promise<ImageBench> {
  const temp = await makeTempDir();
  let made = 0;
  return {
    path: temp.path,
    async newImage(bytes) {
      const disk = join(temp.path, `disk-${++made}`);
      const file = join(temp.path, "certificates");
      const plain = Buffer.concat([randomBytes(bytes / 2), Buffer.alloc(bytes / 2, made)]);
      await writeFile(disk, plain);
      await writeFile(file, "-----BEGIN CERTIFICATE-----");
      const digest = `sha256:${createHash("sha256").update(plain).digest("hex")}`;
      return { name: "tiny", digest, disk, caBundle: { file, guestPath: "/etc/ssl/cert.pem" } };
    },
    fetched: (store, digest) => fetchedTo(temp.path, store, digest),
    [Symbol.asyncDispose]: () => temp[Symbol.asyncDispose](),
  };
}

async function fetchedTo(directory: string, store: ObjectStore, digest: string) {
  const [disk, caBundle] = [join(directory, "fetched.erofs"), join(directory, "fetched.crt")];
  const result = await fetchImage(store, digest, { disk, caBundle, signal });
  return { ...result, bytes: await readFile(disk), certificates: await readFile(caBundle, "utf8") };
}

export async function keysOf(store: ObjectStore, prefix = "images/"): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list(prefix, { signal })) keys.push(key);
  return keys;
}

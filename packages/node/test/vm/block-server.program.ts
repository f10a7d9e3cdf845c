/** The block server of a node under test, with its object store in a folder beside it: `node … DATA_DIRECTORY`. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { startBlockServer } from "@mags/block-server";
import { silentLogger, sleep, systemClock } from "@mags/core";
import { makeFileStore, type ObjectStore, openFileStore } from "@mags/object-store";
import { blocksDirectory } from "../../src/workspaces/blocks.ts";

const DAY_MS = 24 * 3_600_000;
const dataDirectory = process.argv[2] ?? "";
const objects = join(dataDirectory, "objects");
await makeFileStore(objects);
const folder = await openFileStore(objects);
/** It takes as many bytes a second as the file `rate` says, if there is one, also when that changes meanwhile. */
async function takeTime(bytes: number, signal: AbortSignal | undefined): Promise<void> {
  const beganMs = performance.now();
  for (;;) {
    const rate = Number(await readFile(join(dataDirectory, "rate"), "utf8").catch(() => "0"));
    if (rate <= 0 || performance.now() - beganMs >= (1000 * bytes) / rate) return;
    await sleep(50, signal ? { signal } : {});
  }
}
const store: ObjectStore = {
  ...folder,
  async put(key, bytes, options = {}) {
    await takeTime(bytes.length, options.signal);
    return folder.put(key, bytes, options);
  },
};
const server = await startBlockServer(
  { store, clock: systemClock, log: silentLogger },
  {
    directory: blocksDirectory(dataDirectory),
    build: "test",
    holder: "node-test",
    cacheBytes: 256 << 20,
    graceMs: DAY_MS,
  },
);
await server.asked;
await server[Symbol.asyncDispose]();

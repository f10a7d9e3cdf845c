/** The block server of a node under test, with its object store in a folder beside it: `node … DATA_DIRECTORY`. */
import { join } from "node:path";
import { startBlockServer } from "@mags/block-server";
import { silentLogger, systemClock } from "@mags/core";
import { openFileStore } from "@mags/object-store";
import { blocksDirectory } from "../../src/workspaces/blocks.ts";

const dataDirectory = process.argv[2] ?? "";
const store = await openFileStore(join(dataDirectory, "objects"));
const server = await startBlockServer(
  { store, clock: systemClock, log: silentLogger },
  { directory: blocksDirectory(dataDirectory), build: "test", holder: "node-test", cacheBytes: 256 << 20, graceMs: 0 },
);
await server.asked;
await server[Symbol.asyncDispose]();

import assert from "node:assert/strict";
import { readdir, rename, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { startServer, type TestServer } from "./harness/server.ts";

const SUMS = "echo 3 >/proc/sys/vm/drop_caches; sha256sum /root/big";

let server: TestServer;
before(async () => {
  server = await startServer({ node: { hydration: { mb_per_second: 1, after_seconds: 0 } } });
});
after(() => server[Symbol.asyncDispose]());

async function mags(...args: string[]): Promise<string> {
  const { exitCode, text, errors } = await server.mags(args);
  assert.equal(exitCode, 0, `mags ${args.join(" ")}: ${text}${errors}`);
  return text;
}

describe("a server that is killed while a disk is copied", () => {
  it("goes on with it, and in the end the disk needs no store", async () => {
    await mags("run", "-p", "-w", "w", "head -c 16000000 /dev/urandom >/root/big");
    const sums = await mags("exec", "w", SUMS);
    await mags("stop", "w");
    await mags("new", "w", "-p");
    const served = join(server.dataDir, "blocks", "served");
    assert.equal((await readdir(served)).length, 1);
    await server.kill();
    await server.start();
    assert.equal((await readdir(served)).length, 1, "it is under way");
    await waitFor(async () => (await readdir(served)).length === 0, { what: "the end of it", deadlineMs: 120_000 });
    assert.match(await mags("events", "w"), /all files are on the VM's own disk now/);
    await rename(join(server.dataDir, "objects"), join(server.dataDir, "away"));
    await writeFile(join(server.dataDir, "objects"), "");
    assert.equal(await mags("exec", "w", SUMS), sums);
    await mags("stop", "w", "--force");
  });
});

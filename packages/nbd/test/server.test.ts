import assert from "node:assert/strict";
import { spawn } from "node:child_process";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { connectNbd, createNbdServer, type NbdExport } from "@mags/nbd";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { countedText, u16, u32 } from "../src/protocol/options.ts";
import { COMMAND, OPTION } from "../src/protocol/values.ts";
import { createDisk } from "./disks.ts";
import { DEADLINE_MS, serve } from "./harness.ts";
import { connectRaw } from "./raw-client.ts";

const MIB = 1024 ** 2;

import { createHeldExport } from "./held-export.ts";

const SERVER = `
  import { createNbdServer } from "@mags/nbd";
  const bytes = Buffer.from("content");
  const source = { sizeBytes: bytes.length, read: async () => bytes, extents: () => [] };
  await createNbdServer({ exports: { find: () => source } }).listen({ fd: 3 });
`;

/** Keeps a socket that listens, and starts or kills the server on it for each line of its input. */
const KEEPER = `
import os, socket, subprocess, sys
listener = socket.socket(socket.AF_UNIX)
listener.bind(sys.argv[1])
listener.listen(8)
os.dup2(listener.fileno(), 3, inheritable=True)
print("listening", flush=True)
server = None
for line in sys.stdin:
    if line == "start\\n": server = subprocess.Popen(sys.argv[2:], pass_fds=[3])
    else: server.kill(); server.wait()
if server: server.kill(); server.wait()
`;

async function keepListening(path: string) {
  const server = [process.execPath, "--input-type=module", "--eval", SERVER];
  const keeper = spawn("python3", ["-c", KEEPER, path, ...server], {
    stdio: ["pipe", "pipe", "inherit"],
    cwd: import.meta.dirname,
  });
  const gone = once(keeper, "exit");
  await once(keeper.stdout, "data");
  return {
    startServer: () => keeper.stdin.write("start\n"),
    killServer: () => keeper.stdin.write("kill\n"),
    async [Symbol.asyncDispose]() {
      keeper.stdin.end();
      await gone;
    },
  };
}

describe("createNbdServer", () => {
  it("serves on a listener of somebody else, who keeps it", async () => {
    await using directory = await makeTempDir();
    const path = join(directory.path, "nbd.sock");
    const { source, bytes } = createDisk(Buffer.from("content of a disk"), 4);
    const listener = createServer();
    await new Promise<void>((resolve) => listener.listen(path, resolve));
    for (let n = 0; n < 2; n++) {
      await using server = createNbdServer({ exports: { find: () => source } });
      server.serve(listener);
      await using client = await connectNbd(path, { exportName: "", signal: AbortSignal.timeout(DEADLINE_MS) });
      assert.deepEqual(await client.read(0, bytes.length), bytes);
    }
    assert.equal(listener.listenerCount("connection"), 0);
    await new Promise((resolve) => listener.close(resolve));
  });

  it("serves on a descriptor that listens already: who connects while it is away waits for the next", async () => {
    await using directory = await makeTempDir();
    const path = join(directory.path, "nbd.sock");
    await using keeper = await keepListening(path);
    const options = () => ({ exportName: "", signal: AbortSignal.timeout(DEADLINE_MS) });
    for (let n = 0; n < 2; n++) {
      const early = connectNbd(path, options());
      keeper.startServer();
      await using client = await early;
      assert.equal((await client.read(0, 7)).toString(), "content");
      keeper.killServer();
      await client.closed;
    }
  });

  it("closes connections beyond those it may have", async () => {
    await using served = await serve(createDisk(Buffer.alloc(4096), 512).source, { maxConnections: 2 });
    const first = await served.connect();
    const second = await served.connect();
    await assert.rejects(served.connect(), (error) => isAppError(error, "unavailable"));
    await first.disconnect();
    await waitFor(() => served.server.connections === 1, { what: "the server to notice" });
    assert.equal((await (await served.connect()).read(0, 1)).length, 1);
    assert.equal((await second.read(0, 1)).length, 1);
  });

  it("stops reading a client that has too much under way", async () => {
    const { source, reads } = createHeldExport(64 * MIB);
    await using served = await serve(source, { maxPendingBytes: 3 * MIB });
    const client = await served.connect({ maxInFlight: 16 });
    const asked = Array.from({ length: 8 }, (_, n) => client.read(n * MIB, MIB));
    const other = (await served.connect()).read(9 * MIB, 1);
    // The requests of the other connection come later: all that the first could begin has begun by then.
    await waitFor(() => reads.some(({ offset }) => offset === 9 * MIB), { what: "the other read to have begun" });
    assert.ok(reads.length <= 3, `${reads.length} reads`);
    for (let ended = 0; ended < 9; ended++) {
      await waitFor(() => reads.length > ended, { what: "a read to have begun" });
      reads[ended]?.end();
    }
    await Promise.all([...asked, other]);
  });

  it("reads little for a client that does not take its answers, and goes on when it does", async () => {
    const length = 4 * MIB;
    let reads = 0;
    const source: NbdExport = {
      sizeBytes: length,
      async read(_offset, bytes) {
        reads++;
        return Buffer.alloc(bytes);
      },
      extents: () => [],
    };
    await using served = await serve(source);
    await using deaf = await connectRaw(served.path);
    deaf.write(u32(3));
    await deaf.option(OPTION.structuredReply);
    await deaf.option(OPTION.go, Buffer.concat([countedText("disk"), u16(0)]), 3);
    const requests = 100;
    for (let n = 0; n < requests; n++) deaf.request({ type: COMMAND.read, length, cookie: BigInt(n) });
    const other = await served.connect();
    for (let n = 0; n < 10; n++) await other.read(0, 1);
    assert.ok(reads - 10 <= 3, `${reads - 10} reads`);
    for (let n = 0; n < requests; n++) assert.equal((await deaf.reply()).payload?.length, 8 + length);
  });
});

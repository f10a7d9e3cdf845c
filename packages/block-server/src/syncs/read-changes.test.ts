import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:net";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { readChanges } from "./read-changes.ts";

describe("readChanges", () => {
  it("gives a QEMU up that accepts and then shows nothing", async () => {
    await using temp = await makeTempDir();
    const socket = join(temp.path, "mute.sock");
    let ends = 0;
    const mute = createServer((connection) => {
      connection.resume().once("close", () => ends++);
    });
    mute.listen(socket);
    await once(mute, "listening");
    const { signal } = new AbortController();
    const source = { socket, exportName: "view", bitmap: null };
    const runs = readChanges(source, { diskBytes: 1 << 20, stallMs: 20, signal });
    await assert.rejects(runs.next(), { code: "unavailable", message: /has shown nothing more of the disk/ });
    await waitFor(() => ends === 1, { what: "the end of the connection" });
    const closed = once(mute, "close");
    mute.close();
    await closed;
  });
});

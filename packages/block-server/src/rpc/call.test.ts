import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { call, isGone } from "./call.ts";

const { signal } = new AbortController();

describe("a call", () => {
  it("that is answered with more than is taken did not find the block server gone", async () => {
    await using dir = await makeTempDir();
    const socket = join(dir.path, "s");
    const piece = Buffer.alloc(1 << 20, " ");
    const server = createServer((_, reply) => {
      const more = () => {
        while (!reply.destroyed && reply.write(piece));
      };
      reply.on("drain", more);
      more();
    });
    server.listen(socket);
    await once(server, "listening");
    try {
      const failed = call(socket, "served", {}, { signal });
      await assert.rejects(failed, { code: "internal", message: /answers to served is too long/ });
      assert.equal(isGone(await failed.catch((error: unknown) => error)), false);
    } finally {
      server.closeAllConnections();
      server.close();
      await once(server, "close");
    }
    assert.equal(isGone(await call(socket, "served", {}, { signal }).catch((error: unknown) => error)), true);
  });
});

import assert from "node:assert/strict";
import { readdir, stat, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { callControlSocket, serveControlSocket } from "./control-socket.ts";

describe("serveControlSocket", () => {
  it("answers calls and tells what went wrong", async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "control.sock");
    await using _server = await serveControlSocket(path, {
      "GET /echo": async (query) => ({ said: query.get("say") }),
      "POST /fail": async () => {
        throw new Error("no");
      },
    });
    assert.deepEqual(await callControlSocket(path, "GET", "/echo?say=a%20b", 5_000), { said: "a b" });
    await assert.rejects(callControlSocket(path, "POST", "/fail", 5_000), /^AppError: no$/);
    await assert.rejects(callControlSocket(path, "POST", "/echo", 5_000), /no such call: POST \/echo/);
  });

  it("is for its own user only, replaces what a dead process left, and leaves nothing", async () => {
    await using dir = await makeTempDir();
    const path = join(dir.path, "control.sock");
    await writeFile(path, "");
    {
      await using _server = await serveControlSocket(path, {});
      assert.equal((await stat(path)).mode & 0o777, 0o600);
      assert.deepEqual(await readdir(dir.path), ["control.sock"]);
    }
    assert.deepEqual(await readdir(dir.path), []);
    assert.equal(await callControlSocket(path, "GET", "/", 5_000), undefined);
  });
});

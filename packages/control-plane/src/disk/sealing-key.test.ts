import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { chmod, readdir, readFile, stat, writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { isAppError, Secret } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { openSealing } from "./sealing-key.ts";

const MAKE = { make: true };
const said = (pattern: RegExp) => (error: unknown) => isAppError(error, "unavailable") && pattern.test(error.message);

describe("openSealing", () => {
  it("makes the key once, for nobody else's eyes, and reads it from then on", async () => {
    await using dir = await makeTempDir();
    const file = `${dir.path}/sealing.key`;
    const sealed = (await openSealing(file, MAKE)).seal(new Secret("a secret"), "row");
    const text = await readFile(file, "utf8");
    assert.equal((await stat(file)).mode & 0o777, 0o600);
    const opened = (await openSealing(file, MAKE)).open(sealed, "row");
    assert.ok("secret" in opened && opened.secret.reveal() === "a secret");
    assert.equal(await readFile(file, "utf8"), text);
    assert.deepEqual(await readdir(dir.path), ["sealing.key"]);
  });

  it("takes what a killed process was writing for nothing, and removes it", async () => {
    await using dir = await makeTempDir();
    const file = `${dir.path}/sealing.key`;
    await writeFile(`${file}.new`, "mags-sealing-key-1 half");
    await openSealing(file, MAKE);
    assert.deepEqual(await readdir(dir.path), ["sealing.key"]);
  });

  it("does not touch a key that is damaged, and names the file", async () => {
    await using dir = await makeTempDir();
    const file = `${dir.path}/sealing.key`;
    for (const text of ["", "mags-sealing-key-1 AAAA\n", "something else"]) {
      await writeFile(file, text, { mode: 0o600 });
      await assert.rejects(openSealing(file, MAKE), said(/sealing.key, which .* is damaged: put back a copy/));
      assert.equal(await readFile(file, "utf8"), text);
    }
  });

  it("takes none that others than its owner may read or write, and says how that ends", async () => {
    await using dir = await makeTempDir();
    const file = `${dir.path}/sealing.key`;
    await openSealing(file, MAKE);
    for (const mode of [0o644, 0o640, 0o602]) {
      await chmod(file, mode);
      for (const make of [true, false])
        await assert.rejects(
          openSealing(file, { make }),
          said(/cannot read .*sealing.key, .*: chmod 600 .*sealing.key$/),
        );
    }
    await chmod(file, 0o400);
    await openSealing(file, { make: false });
  });

  it("makes none where several servers share one, and says how it is made; that works", async () => {
    await using dir = await makeTempDir();
    const file = `${dir.path}/shared.key`;
    const error = await openSealing(file, { make: false }).catch((thrown: unknown) => thrown);
    assert.ok(isAppError(error, "unavailable"));
    assert.deepEqual(await readdir(dir.path), []);
    execFileSync("/bin/sh", ["-c", error.message.slice(error.message.indexOf("(umask"))]);
    await openSealing(file, { make: false });
    assert.equal((await stat(file)).mode & 0o777, 0o600);
  });
});

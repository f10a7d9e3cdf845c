import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { writeFile } from "node:fs/promises";
import { describe, it } from "node:test";
import { makeTempDir } from "@mags/test-kit";
import { newSshKeyPair, publicKeyLine, sshKeyPairOf } from "./ssh-key-pair.ts";

describe("newSshKeyPair", () => {
  it("makes keys that ssh-keygen reads, whatever the length of the comment", async () => {
    await using dir = await makeTempDir();
    const keygen = (...args: string[]) => execFileSync("ssh-keygen", [...args, "-f", file], { encoding: "utf8" });
    const file = `${dir.path}/key`;
    for (let length = 0; length < 9; length++) {
      const { publicKey, privateKey } = newSshKeyPair("m".repeat(length));
      await writeFile(file, privateKey.reveal(), { mode: 0o600 });
      const expected = `${publicKeyLine(publicKey)} ${"m".repeat(length)}`;
      assert.equal(keygen("-y").trim(), expected.trim());
      assert.ok(keygen("-l").includes(` ${publicKey.fingerprint} `));
    }
  });

  it("makes keys whose public half is known from the private one", () => {
    const pair = newSshKeyPair("a comment");
    assert.deepEqual(sshKeyPairOf(pair.privateKey), pair);
  });
});

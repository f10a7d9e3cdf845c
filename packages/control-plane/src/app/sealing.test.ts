import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { describe, it } from "node:test";
import { Secret } from "@mags/core";
import { createSealing, SEALING_KEY_BYTES } from "./sealing.ts";

const newSealing = (file = "/data/sealing.key") => createSealing({ bytes: randomBytes(SEALING_KEY_BYTES), file });
const refusalOf = (opened: object) => ("refused" in opened ? String(opened.refused) : assert.fail("it was opened"));

describe("createSealing", () => {
  it("gives back what was sealed, and never the same bytes twice", () => {
    const sealing = newSealing();
    for (const text of ["", "a secret", "ünïcode\n".repeat(1_000)]) {
      const sealed = sealing.seal(new Secret(text), "table/1");
      const opened = sealing.open(sealed, "table/1");
      assert.ok("secret" in opened);
      assert.equal(opened.secret.reveal(), text);
      assert.ok(text === "" || !sealed.includes(text));
      assert.ok(!sealed.equals(sealing.seal(new Secret(text), "table/1")));
    }
  });

  it("opens nothing in another row", () => {
    const sealing = newSealing();
    const sealed = sealing.seal(new Secret("a secret"), "table/1");
    assert.match(refusalOf(sealing.open(sealed, "table/2")), /damaged, or was put into another row/);
  });

  it("says which key is needed and which file holds another", () => {
    const sealed = newSealing().seal(new Secret("a secret"), "table/1");
    const text = refusalOf(newSealing("/other/sealing.key").open(sealed, "table/1"));
    const [, needed, held] = /sealed with key (\w{16}), and \/other\/sealing.key holds key (\w{16})$/.exec(text) ?? [];
    assert.ok(needed && held && needed !== held, text);
  });

  it("refuses each value with a bit or bytes that are not its own", () => {
    const sealing = newSealing();
    const sealed = sealing.seal(new Secret("a secret"), "table/1");
    for (let bit = 0; bit < sealed.length * 8; bit++) {
      const other = Buffer.from(sealed);
      other[bit >> 3] = (other[bit >> 3] ?? 0) ^ (1 << (bit & 7));
      refusalOf(sealing.open(other, "table/1"));
    }
    for (let length = 0; length < sealed.length; length++)
      refusalOf(sealing.open(sealed.subarray(0, length), "table/1"));
    refusalOf(sealing.open(Buffer.concat([sealed, Buffer.of(0)]), "table/1"));
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import fc from "fast-check";
import { foreignText } from "./foreign-text.ts";

describe("foreignText", () => {
  it("keeps what people read, in any language, with tabs and line ends", () => {
    const text = "mount: Größe 字 🙂\n\tsecond line";
    assert.equal(foreignText(text, 100), text);
  });

  it("replaces NUL, escape sequences, C1 controls and changes of direction", () => {
    assert.equal(foreignText("a\0b\x1b[31mc\x9bd\re\x7ff\u202eg", 100), "a�b�[31mc�d�e�f�g");
  });

  it("gives well-formed text without controls, no longer than asked for, whatever it is given", () => {
    fc.assert(
      fc.property(fc.string({ unit: "binary" }), fc.nat(20), (text, maxLength) => {
        const safe = foreignText(text, maxLength);
        assert.ok(safe.length <= maxLength);
        assert.ok(safe.isWellFormed());
        assert.doesNotMatch(safe.replaceAll(/[\t\n]/g, ""), /\p{Cc}/u);
      }),
    );
  });
});

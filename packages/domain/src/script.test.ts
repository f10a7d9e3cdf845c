import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { normalizeScript } from "./script.ts";

describe("normalizeScript", () => {
  it("turns a text whose every line ends in CR LF into LF", () => {
    assert.deepEqual(normalizeScript("#!/bin/sh\r\necho a\r\n"), {
      script: "#!/bin/sh\necho a\n",
      crlfConverted: true,
    });
  });

  it("takes a byte order mark out", () => {
    assert.equal(normalizeScript("\uFEFF#!/bin/bash\n").script, "#!/bin/bash\n");
  });

  it("leaves mixed endings, lone CRs and plain texts untouched", () => {
    for (const script of ["a\r\nb\n", "\n", "printf 'x\r'", "echo a\necho b", ""])
      assert.deepEqual(normalizeScript(script), { script, crlfConverted: false });
  });
});

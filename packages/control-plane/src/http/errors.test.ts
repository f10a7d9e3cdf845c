import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError } from "@mags/core";
import { errorFields, errorReply } from "./errors.ts";

describe("an error whose clearing up failed, too", () => {
  const first = new AppError("microvm_lost", "the VM was lost: QEMU was killed");
  const both = new SuppressedError(new Error("the view could not be closed"), first);

  it("is replied as what failed first", () => {
    assert.deepEqual(errorReply(both, "r-1").body, { error: first.message, code: "microvm_lost" });
  });

  it("is logged with both", () => {
    const { error, code } = errorFields(both) as { readonly error: readonly string[]; readonly code: string };
    assert.equal(code, "microvm_lost");
    assert.match(error.join("\n"), /QEMU was killed.*the view could not be closed/s);
  });
});

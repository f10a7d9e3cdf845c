import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { withHostKey } from "./known-hosts.ts";

describe("withHostKey", () => {
  it("puts a key in place of the one before, of that address only", () => {
    let text = withHostKey("", { host: "h", port: 2222, hostKey: "ssh-ed25519 A" });
    assert.equal(text, "[h]:2222 ssh-ed25519 A\n");
    text = withHostKey(text, { host: "h", port: 22, hostKey: "ssh-ed25519 B" });
    text = withHostKey(text, { host: "h", port: 2222, hostKey: "ssh-ed25519 C" });
    assert.equal(text, "h ssh-ed25519 B\n[h]:2222 ssh-ed25519 C\n");
    assert.equal(withHostKey(text, { host: "h", port: 2222, hostKey: "ssh-ed25519 C" }), text);
  });
});

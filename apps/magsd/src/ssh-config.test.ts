import assert from "node:assert/strict";
import { hostname } from "node:os";
import { describe, it } from "node:test";
import { isSameAddress, publicSshHost, SshConfig } from "./ssh-config.ts";

describe("publicSshHost", () => {
  const at = (keys: object, publicUrl?: string) => publicSshHost(SshConfig.parse(keys), publicUrl);

  it("is what the configuration says, else the host of the API, else the address that is listened on", () => {
    assert.equal(at({}), "127.0.0.1");
    assert.equal(at({ listen: { host: "192.0.2.7" } }), "192.0.2.7");
    assert.equal(at({ listen: { host: "0.0.0.0" } }, "https://mags.example.com/x"), "mags.example.com");
    assert.equal(at({}, "http://[2001:db8::1]:7777"), "2001:db8::1");
    assert.equal(at({ public_host: "ssh.example.com" }, "https://mags.example.com"), "ssh.example.com");
  });

  it("is the name of this machine where all of its addresses are listened on", () => {
    assert.equal(at({ listen: { host: "::" } }), hostname());
  });
});

describe("isSameAddress", () => {
  const at = (one: string, other: string, port = 22) =>
    isSameAddress({ host: one, port: 22 }, { host: other, port }) &&
    isSameAddress({ host: other, port }, { host: one, port: 22 });

  it("is true of what the kernel does not let both listen on", () => {
    for (const [one, other] of [
      ["127.0.0.1", "127.0.0.1"],
      ["0.0.0.0", "192.0.2.7"],
      ["0.0.0.0", "::"],
      ["::", "::1"],
      ["::", "127.0.0.1"],
      ["127.0.0.1", "localhost"],
      ["localhost", "::1"],
      ["0.0.0.0", "localhost"],
      ["127.0.0.1", "::ffff:127.0.0.1"],
      ["0.0.0.0", "::FFFF:192.0.2.7"],
    ] as const)
      assert.ok(at(one, other), `${one} ${other}`);
  });

  it("is false of what both can listen on", () => {
    for (const [one, other] of [
      ["0.0.0.0", "::1"],
      ["127.0.0.1", "::1"],
      ["localhost", "192.0.2.7"],
    ] as const)
      assert.ok(!isSameAddress({ host: one, port: 22 }, { host: other, port: 22 }), `${one} ${other}`);
    assert.ok(!at("::", "::", 23));
    assert.ok(!isSameAddress({ host: "::", port: 0 }, { host: "::", port: 0 }));
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { serverNameFor } from "./server-name.ts";

const at = (address: string, port = 7777) => ({ publicUrl: null, arrival: { address, port } });
const known = (publicUrl: string) => ({ publicUrl, arrival: { address: "127.0.0.1", port: 7777 } });
const refuses = (asked: string, where: Parameters<typeof serverNameFor>[1], pattern: RegExp) =>
  assert.throws(
    () => serverNameFor(asked, where),
    (error) => isAppError(error, "validation_failed") && pattern.test(error.message),
    asked,
  );

describe("serverNameFor", () => {
  it("takes the name of the configuration, and no other", () => {
    for (const asked of ["mags.example.org", "MAGS.example.org", "mags.example.org:80", undefined])
      assert.equal(serverNameFor(asked, known("https://mags.example.org")), "mags.example.org");
    assert.equal(serverNameFor("mags.lan:8443", known("https://mags.lan:8443/mags")), "mags.lan:8443");
    for (const asked of [
      "evil.example",
      "mags.example.org:8080",
      "mags.example.org.",
      "127.0.0.1:7777",
      "localhost:7777",
    ])
      refuses(
        asked,
        known("https://mags.example.org"),
        /^server: this one is reached at https:\/\/mags\.example\.org, /,
      );
  });

  it("takes the address that the request came to, where it knows no name", () => {
    assert.equal(serverNameFor("192.0.2.1:7777", at("192.0.2.1")), "192.0.2.1:7777");
    assert.equal(serverNameFor("192.0.2.1:7777", at("::ffff:192.0.2.1")), "192.0.2.1:7777");
    assert.equal(serverNameFor("[2001:DB8::1]:7777", at("2001:db8::1")), "[2001:db8::1]:7777");
    assert.equal(serverNameFor("192.0.2.1", at("192.0.2.1", 80)), "192.0.2.1");
    assert.equal(serverNameFor(undefined, at("fe80::1%eth0")), "[fe80::1]:7777");
    for (const asked of ["192.0.2.2:7777", "192.0.2.1:7778", "192.0.2.1", "evil.example:7777", "localhost:7777"])
      refuses(asked, at("192.0.2.1"), /does not know itself as .*public_url$/);
  });

  it("takes the names of this machine from this machine, with the right port", () => {
    for (const address of ["127.0.0.1", "::1", "::ffff:127.0.0.1"])
      for (const asked of ["localhost:7777", "0.0.0.0:7777", "[::]:7777"])
        assert.equal(serverNameFor(asked, at(address)), asked);
    for (const asked of ["localhost:7778", "localhost", "evil.localhost:7777", "127.0.0.2:7777"])
      refuses(asked, at("127.0.0.1"), /does not know itself/);
  });

  it("refuses what is no host", () => {
    for (const asked of ["", " ", "a b", "https://mags.example.org", "me@mags.example.org", "mags.example.org/", "a:b"])
      refuses(asked, known("https://mags.example.org"), /^server: .* is no host/);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { publicPlaceOf, UrlConfig } from "./url-config.ts";
import { trustOf } from "./urls.ts";

describe("publicPlaceOf", () => {
  it("is what is listened for, unless the configuration says else", () => {
    const tls = { certificates: [{ certificate_file: "/a", key_file: "/b" }] };
    const at = (keys: object) => publicPlaceOf(UrlConfig.parse(keys), 7780);
    assert.deepEqual(at({}), { scheme: "http", port: 7780 });
    assert.deepEqual(at({ tls }), { scheme: "https", port: 7780 });
    assert.deepEqual(at({ public: { scheme: "https", port: 443 } }), { scheme: "https", port: 443 });
  });
});

describe("trustOf", () => {
  it("trusts addresses of these networks, and nothing else", () => {
    const isTrusted = trustOf(["10.0.0.0/8", "2001:db8::/32"]);
    for (const address of ["10.1.2.3", "2001:db8::1"]) assert.ok(isTrusted(address), address);
    for (const address of ["11.0.0.1", "2001:db9::1", "::1", "", "fe80::1%eth0"])
      assert.ok(!isTrusted(address), address);
    assert.ok(!trustOf([])("127.0.0.1"));
  });
});

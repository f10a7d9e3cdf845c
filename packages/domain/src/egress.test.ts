import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { allowsHost, normalizeAllowedHost } from "./egress.ts";

describe("normalizeAllowedHost", () => {
  it("takes host names and wildcards in front of them, in one spelling", () => {
    assert.equal(normalizeAllowedHost("PyPI.org."), "pypi.org");
    assert.equal(normalizeAllowedHost(" *.Example.com"), "*.example.com");
    assert.equal(normalizeAllowedHost("localhost"), "localhost");
    assert.equal(normalizeAllowedHost("xn--bcher-kva.example"), "xn--bcher-kva.example");
  });

  it("refuses what is no host name", () => {
    const wrong = ["", "*", "*.", "a..b", "a b", "-a.b", "a.*.b", "http://a.b", "a.b:80", "a.b/c", "1.2.3.4", "[::1]"];
    for (const text of [...wrong, "bücher.example", "a".repeat(64), `${"a.".repeat(130)}a`])
      assert.equal(normalizeAllowedHost(text), undefined, text);
  });
});

describe("allowsHost", () => {
  it("compares whole names, without case", () => {
    assert.equal(allowsHost(["pypi.org"], "PyPI.org."), true);
    for (const name of ["notpypi.org", "pypi.org.evil.test", "a.pypi.org", "org", ""])
      assert.equal(allowsHost(["pypi.org"], name), false, name);
  });

  it("takes a wildcard for all names below a host, and not for the host", () => {
    assert.equal(allowsHost(["*.example.com"], "a.b.example.com"), true);
    for (const name of ["example.com", "badexample.com", "example.com.evil.test"])
      assert.equal(allowsHost(["*.example.com"], name), false, name);
  });
});

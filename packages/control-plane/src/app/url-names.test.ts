import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { checkedDomain, checkedLabel, nameOf, urlOf } from "./url-names.ts";

const names = {
  domain: "vms.example",
  synonyms: ["apps.example"],
  public: () => ({ scheme: "https" as const, port: 443 }),
};
const invalid = { code: "validation_failed" };

describe("nameOf", () => {
  it("takes the label before the first point, and none of what has no such form", () => {
    assert.deepEqual(nameOf("shop.vms.example"), { label: "shop", domain: "vms.example" });
    for (const host of ["", "localhost", ".localhost"]) assert.equal(nameOf(host), null, host);
  });
});

describe("urlOf", () => {
  it("says a port only where it is not the usual one of its scheme", () => {
    const at = (scheme: "http" | "https", port: number) =>
      urlOf({ label: "a", domain: "localhost" }, { public: () => ({ scheme, port }) });
    assert.equal(at("https", 443), "https://a.localhost");
    assert.equal(at("http", 80), "http://a.localhost");
    assert.equal(at("http", 443), "http://a.localhost:443");
    assert.equal(at("https", 80), "https://a.localhost:80");
  });
});

describe("checkedLabel", () => {
  it("takes what can be a label", () => {
    for (const label of ["a", "0", "a-b", "xn--bcher-kva", "x".repeat(63), "0123456789a", "0123456789abc"])
      assert.equal(checkedLabel(label), label);
  });

  it("refuses what cannot, and what sandboxes are called", () => {
    for (const label of ["", "-a", "a-", "A", "a.b", "a_b", "ü", "a\n", "x".repeat(64)])
      assert.throws(() => checkedLabel(label), invalid, label);
    assert.throws(() => checkedLabel("0123456789ab"), /12 hexadecimal digits are what sandboxes are called/);
  });
});

describe("checkedDomain", () => {
  it("means that of the installation by its synonyms, and by none", () => {
    for (const text of [undefined, "vms.example", "apps.example"])
      assert.equal(checkedDomain(text, names), "vms.example");
    assert.equal(checkedDomain("team.example", names), "team.example");
  });

  it("refuses what is no name of a domain", () => {
    for (const text of ["", ".", "a.", ".a", "a..b", "A.example", "a b", "a/b", "a:80", "a_b.example", "[::1]"])
      assert.throws(() => checkedDomain(text, names), invalid, text);
    assert.throws(() => checkedDomain(`${"a.".repeat(126)}ab`, names), invalid, "254 characters");
  });
});

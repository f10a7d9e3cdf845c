import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { urlStatusOf } from "./gateway-status.ts";
import { UrlConfig } from "./url-config.ts";

const gateway = {
  ...{ ssh: null, urls: { port: 8443, plainPort: 8080 }, problem: null, certificateProblem: null },
  certificatesEnd: new Date("2026-12-31T00:00:00Z"),
};
const config = UrlConfig.parse({ domain: "apps.example.org" });
const place = { config, domain: config.domain };

describe("urlStatusOf", () => {
  it("tells when certificates of files end, and of none of an authority that nobody asks", () => {
    const { certificates_end, acme } = urlStatusOf(gateway, place) ?? assert.fail();
    assert.deepEqual([certificates_end, acme], ["2026-12-31T00:00:00.000Z", null]);
    assert.equal(urlStatusOf({ ...gateway, certificatesEnd: null }, place)?.certificates_end, null);
  });

  it("sums up how names stand with an authority", () => {
    const refused = { host: "a.example", at: new Date(0), problem: "404" };
    const acme = {
      names: { valid: { all: 5, failing: 1 }, expired: { all: 2, failing: 2 }, missing: { all: 3, failing: 1 } },
      firstEnd: { host: "b.example", at: new Date(1_000) },
      newestFailure: refused,
      ending: 2,
      firstEnding: { ...refused, expiresAt: new Date(2_000) },
    };
    const at = (ms: number) => new Date(ms).toISOString();
    assert.deepEqual(urlStatusOf(gateway, { ...place, acme })?.acme, {
      ...{ valid: 5, expired: 2, missing: 3, failing: 4, ending: 2 },
      first_end: { host: "b.example", at: at(1_000) },
      newest_failure: { host: "a.example", at: at(0), problem: "404" },
      first_ending: { host: "a.example", at: at(2_000), problem: "404" },
    });
  });
});

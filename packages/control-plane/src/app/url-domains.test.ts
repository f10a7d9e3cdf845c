import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AccountId } from "@mags/domain";
import { checkOwnName } from "./url-domains.ts";

const ACCOUNT = "7e2a8a3e-5f0b-4c3a-9d77-0a1b2c3d4e5f" as AccountId;
const MARK = `mags-account=${ACCOUNT}`;

function check(
  whole: string,
  {
    records = {},
    allowed = [],
    dns = true,
  }: { records?: Record<string, string[] | Error>; allowed?: string[]; dns?: boolean } = {},
) {
  const at = whole.indexOf(".");
  return checkOwnName(
    ACCOUNT,
    { label: whole.slice(0, at), domain: whole.slice(at + 1) },
    {
      ...{ allowed, dns, reserved: () => ["apps.example.net", "api.example.net"] },
      async lookUp(name) {
        const found = records[name] ?? [];
        if (found instanceof Error) throw found;
        return found;
      },
    },
  );
}

describe("a name in a domain of one's own", () => {
  it("is shown by a record of it, or of its domain", async () => {
    await check("shop.example.org", { records: { "_mags.shop.example.org": ["v=spf1", MARK] } });
    await check("shop.example.org", { records: { "_mags.example.org": [MARK] } });
    await check("example.org", { records: { "_mags.example.org": [MARK] } });
  });

  it("is refused with the record that would show it", async () => {
    const message =
      /^shop\.example\.org is not known to be yours: show it by a TXT record _mags\.shop\.example\.org with the text mags-account=7e2a8a3e/;
    await assert.rejects(check("shop.example.org"), { code: "forbidden", message });
    const others = { "_mags.shop.example.org": ["mags-account=another"], "_mags.org": [MARK] };
    await assert.rejects(check("shop.example.org", { records: others }), { code: "forbidden" });
    await assert.rejects(check("example.org", { records: { "_mags.org": [MARK] } }), { code: "forbidden" });
  });

  it("needs no record where the operator allows all, and none helps where there are to be no others", async () => {
    await check("shop.example.org", { allowed: ["example.org"], dns: false });
    await check("shop.eu.example.org", { allowed: ["example.org"], dns: false });
    await assert.rejects(check("shop.badexample.org", { allowed: ["example.org"], dns: false }), { code: "forbidden" });
    const records = { "_mags.example.com": [MARK] };
    await assert.rejects(check("shop.example.com", { records, dns: false }), { code: "forbidden" });
  });

  it("is not decided while the DNS is away", async () => {
    const records = { "_mags.shop.example.org": new Error("queryTxt ETIMEOUT") };
    await assert.rejects(check("shop.example.org", { records }), { code: "unavailable", message: /ETIMEOUT/ });
    await check("shop.example.org", { records: { ...records, "_mags.example.org": [MARK] } });
  });

  it("is none of the server's, above or below those, and no address", async () => {
    for (const name of [
      "x.apps.example.net",
      "apps.example.net",
      "example.net",
      "x.api.example.net",
      "a.localhost",
      "1.2.3.4",
    ])
      await assert.rejects(
        check(name, { records: { [`_mags.${name}`]: [MARK] } }),
        { code: "validation_failed" },
        name,
      );
    await check("shop.example.net", { records: { "_mags.shop.example.net": [MARK] } });
  });
});

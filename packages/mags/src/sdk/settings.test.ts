import assert from "node:assert/strict";
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import { after, describe, it } from "node:test";
import { DEFAULT_API_URL, normalizeApiUrl } from "./api-url.ts";
import { clientSettings, normalizeToken, tokenFromEnvironment } from "./settings.ts";

const NOWHERE = "/nonexistent";

describe("clientSettings", () => {
  const home = mkdtempSync("/tmp/mags-");
  mkdirSync(join(home, ".mags"));
  writeFileSync(
    join(home, ".mags", "config.json"),
    JSON.stringify({ api_url: "http://kept.example/", api_token: "kept" }),
  );
  after(() => rmSync(home, { recursive: true }));

  it("takes arguments before the environment, and MAGS_API_TOKEN before MAGS_TOKEN", () => {
    const env = { MAGS_API_TOKEN: "a", MAGS_TOKEN: "b", MAGS_API_URL: "https://env.example" };
    assert.deepEqual(clientSettings({ apiToken: "t", apiUrl: "http://x:1/" }, env, home), {
      apiToken: "t",
      apiUrl: "http://x:1",
    });
    assert.deepEqual(clientSettings({}, env, home), { apiToken: "a", apiUrl: "https://env.example" });
    assert.equal(clientSettings({}, { MAGS_API_TOKEN: "", MAGS_TOKEN: "b" }, home).apiToken, "b");
  });

  it("takes the address, but never the token, from the config file", () => {
    assert.equal(clientSettings({ apiToken: "t" }, {}, home).apiUrl, "http://kept.example");
    assert.equal(clientSettings({ apiToken: "t" }, {}, NOWHERE).apiUrl, DEFAULT_API_URL);
    assert.throws(() => clientSettings({}, {}, home), { code: "no_token" });
  });
});

describe("normalizeApiUrl", () => {
  it("gives one form to addresses that mean the same", () => {
    for (const text of ["http://h:1", "http://h:1/", "http://H:1/api/v1", "http://h:1/api/v1/"])
      assert.equal(normalizeApiUrl(text, "x"), "http://h:1");
    assert.equal(normalizeApiUrl("https://h/prefix/", "x"), "https://h/prefix");
    assert.equal(normalizeApiUrl("http://[::1]:7777", "x"), "http://[::1]:7777");
  });

  it("names where a wrong address is from", () => {
    for (const text of ["", "h:1", "ftp://h", "/x"])
      assert.throws(
        () => normalizeApiUrl(text, "MAGS_API_URL"),
        /^MagsError: MAGS_API_URL must be an http\(s\) address/,
      );
  });
});

describe("normalizeToken", () => {
  it("drops what is around a token and refuses what cannot be in one", () => {
    assert.equal(normalizeToken(" abc\r\n", "x"), "abc");
    for (const text of ["", " ", "a b", "a\nb", "ü"])
      assert.throws(() => normalizeToken(text, "--token"), /--token is not a token/);
    assert.equal(tokenFromEnvironment({}), undefined);
  });
});

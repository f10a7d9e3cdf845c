import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, before, beforeEach, describe, it } from "node:test";
import { promisify } from "node:util";
import { Secret, silentLogger } from "@mags/core";
import type { UrlDirectory } from "@mags/domain";
import { makeTempDir } from "@mags/test-kit";
import { createNamedCertificates, type NamedCertificates } from "./named-certificates.ts";

describe("createNamedCertificates", () => {
  let made: Awaited<ReturnType<UrlDirectory["certificate"]>>;
  before(async () => {
    await using temp = await makeTempDir();
    const [certificate, key] = [join(temp.path, "pem"), join(temp.path, "key")];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "2"];
    const args = ["req", "-x509", ...curve, "-subj", "/CN=own.example", "-keyout", key, "-out", certificate];
    await promisify(execFile)("openssl", args);
    made = { certificate: await readFile(certificate, "utf8"), key: new Secret(await readFile(key, "utf8")) };
  });

  let nowMs: number;
  let asked: string[];
  let all: NamedCertificates;
  let waiting: PromiseWithResolvers<void>;
  beforeEach(() => {
    nowMs = 0;
    asked = [];
    waiting = Promise.withResolvers();
    all = createNamedCertificates({
      log: silentLogger,
      clock: { nowMs: () => nowMs },
      directory: {
        async certificate(host) {
          asked.push(host);
          if (host === "away.example") throw new Error("the database is away");
          if (host === "broken.example") return { certificate: "no PEM", key: new Secret("") };
          if (host.endsWith(".slow.example")) await waiting.promise;
          return host === "own.example" ? made : null;
        },
      },
    });
  });
  afterEach(() => waiting.resolve());

  it("asks once for five minutes for one that there is, and for five seconds for one that there is not", async () => {
    const [one, other] = await Promise.all([all.find("own.example"), all.find("own.example")]);
    assert.ok(one && one === other);
    assert.equal(await all.find("else.example"), null);
    assert.equal(await all.find("else.example"), null);
    assert.deepEqual(asked, ["own.example", "else.example"]);
    nowMs = 5_000;
    assert.equal(await all.find("else.example"), null);
    assert.equal(await all.find("own.example"), one);
    nowMs = 300_000;
    assert.ok(await all.find("own.example"));
    assert.deepEqual(asked, ["own.example", "else.example", "else.example", "own.example"]);
  });

  it("has none where the directory fails, or what it has cannot be used, or the name is none", async () => {
    for (const host of ["away.example", "broken.example", "", "a", "a b.example", `${"a".repeat(300)}.example`])
      assert.equal(await all.find(host), null);
    assert.deepEqual(asked, ["away.example", "broken.example"]);
  });

  it("asks for few names at a time, whatever strangers say", async () => {
    const many = Array.from({ length: 100 }, (_, n) => all.find(`a${n}.slow.example`));
    assert.equal(asked.length, 64);
    waiting.resolve();
    await Promise.all(many);
    assert.ok(await all.find("own.example"));
  });
});

import assert from "node:assert/strict";
import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { joinArchives, operatorDigest, operatorFiles } from "./operator-layer.ts";

let directory: string;
const at = (name: string) => join(directory, name);
const GUEST_PATH = "/etc/ssl/certs/ca-certificates.crt";
before(async () => {
  directory = await mkdtemp("/tmp/mags-operator-");
  await writeFile(at("bundle"), "image certificates\n");
  await writeFile(at("ca.pem"), "-----BEGIN CERTIFICATE-----\nours\n-----END CERTIFICATE-----");
  await writeFile(at("no.pem"), "nothing");
});
after(() => rm(directory, { recursive: true }));

describe("operatorFiles", () => {
  it("adds certificates to the image's own, and tells programs with bundles of their own where they are", async () => {
    const files = await operatorFiles(
      { caCertificates: [at("ca.pem")], environment: { A: "b" }, files: [] },
      { file: at("bundle"), guestPath: GUEST_PATH },
    );
    const content = new Map(files.map((file) => [file.path, file.content.toString()]));
    assert.match(
      content.get("/etc/ssl/certs/ca-certificates.crt") ?? "",
      /^image certificates\n-----BEGIN[\s\S]*END CERTIFICATE-----\n$/,
    );
    assert.match(content.get("/etc/environment") ?? "", /NODE_EXTRA_CA_CERTS=[\s\S]*\nA=b\n$/);
    assert.ok(content.has("/usr/local/share/ca-certificates/operator-1.crt"));
  });

  it("puts them where an image looks, and alone where it has none of its own", async () => {
    const settings = { caCertificates: [at("ca.pem")], environment: {}, files: [] };
    const elsewhere = { file: at("bundle"), guestPath: "/etc/pki/bundle.pem" };
    const files = await operatorFiles(settings, elsewhere);
    assert.match(
      files.find(({ path }) => path === elsewhere.guestPath)?.content.toString() ?? "",
      /^image cert[\s\S]*ours/,
    );
    assert.match(
      files.find(({ path }) => path === "/etc/environment")?.content.toString() ?? "",
      /=\/etc\/pki\/bundle.pem/,
    );
    const alone = (await operatorFiles(settings, null)).find(({ path }) => path === GUEST_PATH);
    assert.match(alone?.content.toString() ?? "", /^-----BEGIN/);
  });

  it("is empty without settings, and refuses what is no certificate and paths that lead elsewhere", async () => {
    const none = { caCertificates: [], environment: {}, files: [] };
    assert.deepEqual(await operatorFiles(none, null), []);
    await assert.rejects(operatorFiles({ ...none, caCertificates: [at("no.pem")] }, null), /no PEM certificate/);
    for (const path of ["etc/x", "/etc/../x", "/etc//x"])
      await assert.rejects(
        operatorFiles({ ...none, files: [{ path, source: at("bundle"), mode: 0o644 }] }, null),
        /absolute path/,
      );
  });

  it("has another digest when any path, mode or byte differs", () => {
    const file = { path: "/a", mode: 0o644, content: Buffer.from("x") };
    const variants = [
      [file],
      [{ ...file, path: "/b" }],
      [{ ...file, mode: 0o600 }],
      [{ ...file, content: Buffer.from("y") }],
      [],
    ];
    assert.equal(new Set(variants.map(operatorDigest)).size, variants.length);
  });
});

describe("joinArchives", () => {
  it("begins the second archive at a multiple of four bytes", () => {
    for (let length = 0; length < 9; length++) {
      const joined = joinArchives(Buffer.alloc(length, 1), Buffer.from("0707"));
      const start = joined.indexOf("0707");
      assert.equal(start % 4, 0);
      assert.ok(joined.subarray(length, start).every((byte) => byte === 0));
    }
    assert.equal(joinArchives(Buffer.alloc(3), undefined).length, 3);
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { chmod, mkdir, readdir, writeFile } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { Secret } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { claimObjectFolder } from "../object-folder.ts";
import { checkObjectStore } from "./check-object-store.ts";

const S3 = {
  kind: "s3",
  region: "us-east-1",
  bucket: "bucket",
  prefix: "",
  access_key: "access",
  secret_key: new Secret("very-secret"),
  path_style: true,
} as const;

const check = (endpoint: string, secret_key: Secret | string = S3.secret_key) =>
  checkObjectStore({ data_dir: "/nowhere", object_store: { ...S3, endpoint, secret_key } }, { patienceMs: 200 });

/** A server that answers all with one status and text. */
async function answering(status: number, text = "", headers: Readonly<Record<string, string>> = {}) {
  const server = createServer((request, response) => {
    request.resume();
    request.once("end", () => response.writeHead(status, headers).end(text));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    endpoint: `http://127.0.0.1:${(server.address() as AddressInfo).port}`,
    async [Symbol.asyncDispose]() {
      server.closeAllConnections();
      server.close();
    },
  };
}

describe("checkObjectStore", () => {
  it("tries a folder, and leaves nothing in it", async () => {
    await using dir = await makeTempDir();
    const config = { data_dir: dir.path, object_store: { kind: "filesystem" } } as const;
    await claimObjectFolder(config);
    const { state, found } = await checkObjectStore(config, { patienceMs: 10_000 });
    assert.equal(state, "ok");
    assert.match(found, new RegExp(`^filesystem, ${dir.path}/objects: reachable, conditional writes are enforced`));
    assert.deepEqual(await readdir(`${dir.path}/objects/tree`), []);
  });

  it("makes no data directory", async () => {
    await using dir = await makeTempDir();
    const config = { data_dir: `${dir.path}/later`, object_store: { kind: "filesystem" } } as const;
    assert.match((await checkObjectStore(config, { patienceMs: 100 })).found, /which the first start makes/);
    assert.deepEqual(await readdir(dir.path), []);
    const made = { ...config, data_dir: dir.path }; // and no store in one that is there
    assert.match((await checkObjectStore(made, { patienceMs: 100 })).found, /which the first start makes/);
    assert.deepEqual(await readdir(dir.path), []);
  });

  it("says of a file where the folder is to be that the folder is not there", async () => {
    await using dir = await makeTempDir();
    await writeFile(`${dir.path}/objects`, "");
    const config = { data_dir: dir.path, object_store: { kind: "filesystem" } } as const;
    const { state, found, cure } = await checkObjectStore(config, { patienceMs: 100 });
    assert.equal(state, "fail");
    assert.match(`${found} → ${cure}`, /^filesystem: .*objects is not there: .* → mount it/);
  });

  it("tells a store that is away, one that refuses, and one that does other than asked, with the cure of each", async () => {
    const away = await check("http://127.0.0.1:1");
    assert.match(away.found, /^s3: http:\/\/127\.0\.0\.1:1 did not answer: ECONNREFUSED/);
    assert.match(away.cure ?? "", /check object_store\.endpoint/);
    await using denying = await answering(403, "<Error><Code>SignatureDoesNotMatch</Code></Error>");
    const refused = await check(denying.endpoint);
    assert.match(refused.found, /the secret key is not that of the access key/);
    assert.match(refused.cure ?? "", /secret_key/);
    await using careless = await answering(200, "", { etag: '"1"' });
    const unfit = await check(careless.endpoint);
    assert.match(unfit.found, /gives back other bytes/);
    assert.match(unfit.cure ?? "", /enforces conditional writes/);
    for (const finding of [away, refused, unfit]) {
      assert.equal(finding.state, "fail");
      assert.doesNotMatch(JSON.stringify(finding), /very-secret/);
    }
  });

  it("reads the secret from a file, or says that it cannot", async () => {
    await using dir = await makeTempDir();
    await mkdir(`${dir.path}/keys`);
    await writeFile(`${dir.path}/keys/secret`, "from-file\n");
    await chmod(`${dir.path}/keys/secret`, 0o600);
    await using denying = await answering(403);
    assert.match((await check(denying.endpoint, `${dir.path}/keys/secret`)).found, /answered 403/);
    const { found } = await check(denying.endpoint, `${dir.path}/keys/none`);
    assert.match(found, /object_store\.secret_key_file: ENOENT/);
  });
});

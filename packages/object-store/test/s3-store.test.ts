import assert from "node:assert/strict";
import { createHash, randomUUID } from "node:crypto";
import { once } from "node:events";
import { type AddressInfo, connect, createServer } from "node:net";
import { after, before, describe, it } from "node:test";
import { GetObjectCommand, ListObjectsV2Command, PutObjectCommand, S3Client } from "@aws-sdk/client-s3";
import { isAppError, Secret, silentLogger } from "@mags/core";
import {
  type ObjectStore,
  openObjectStore,
  openS3Store,
  probeObjectStore,
  retryStore,
  type S3StoreOptions,
} from "@mags/object-store";
import { collectAll, createSeededRandom, describeObjectStore, type Radosgw, startRadosgw } from "@mags/test-kit";

const BUCKET = "mags-test";
let radosgw: Radosgw;
before(async () => {
  radosgw = await startRadosgw();
  await radosgw.createBucket(BUCKET);
});
after(() => radosgw?.[Symbol.asyncDispose]());

const storeOptions = (): S3StoreOptions => ({
  ...{ endpoint: radosgw.endpoint, region: radosgw.region, accessKey: radosgw.accessKey },
  ...{ bucket: BUCKET, prefix: `${randomUUID()}/`, pathStyle: true, secretKey: new Secret(radosgw.secretKey) },
});
const openStore = (options: Partial<S3StoreOptions> = {}) => openS3Store({ ...storeOptions(), ...options });

const persistent = (store: ObjectStore) =>
  retryStore(
    store,
    { log: silentLogger, random: Math.random },
    { deadlineMs: 120_000, firstPauseMs: 100, maxPauseMs: 1_000 },
  );

describeObjectStore("S3", { open: async () => openStore({ keysPerPage: 4 }), refusesFoldersInTheWay: false });

describe("S3 store", () => {
  it("passes the probe, and leaves nothing of it", async () => {
    const options = { kind: "s3", ...storeOptions() } as const;
    await using store = await openObjectStore(options, { log: silentLogger });
    await probeObjectStore(store);
    assert.deepEqual(await collectAll(store.list("")), []);
  });

  it("agrees with another client about keys and bytes", async () => {
    const { endpoint, region, accessKey: accessKeyId, secretKey: secretAccessKey } = radosgw;
    const client = new S3Client({
      endpoint,
      region,
      forcePathStyle: true,
      credentials: { accessKeyId, secretAccessKey },
    });
    try {
      const prefix = `${randomUUID()}/`;
      await using store = openStore({ prefix });
      const bytes = createSeededRandom(2).bytes(100_000);
      const ours = "ours/a b+c%20ü!'()*";
      const { etag } = await store.put(ours, bytes);
      const read = await client.send(new GetObjectCommand({ Bucket: BUCKET, Key: prefix + ours }));
      assert.ok(Buffer.from((await read.Body?.transformToByteArray()) ?? []).equals(bytes));
      assert.equal(read.ETag, etag);
      const theirs = "theirs/d e+f%2Fö~[]";
      const put = await client.send(new PutObjectCommand({ Bucket: BUCKET, Key: prefix + theirs, Body: bytes }));
      assert.deepEqual(await store.get(theirs), { bytes, etag: put.ETag });
      const listed = await client.send(new ListObjectsV2Command({ Bucket: BUCKET, Prefix: prefix }));
      assert.deepEqual(
        listed.Contents?.map(({ Key }) => Key),
        [prefix + ours, prefix + theirs],
      );
      assert.deepEqual(
        (await collectAll(store.list(""))).map(({ key }) => key),
        [ours, theirs],
      );
    } finally {
      client.destroy();
    }
  });

  it("says what is wrong with keys, secrets and buckets", async () => {
    const cases: readonly [Partial<S3StoreOptions>, RegExp][] = [
      [{ secretKey: new Secret("wrong") }, /the secret key is not that of the access key \(the store answered 403/],
      [{ accessKey: "nobody" }, /there is no such access key/],
      [{ bucket: "no-such-bucket" }, /there is no such bucket/],
    ];
    for (const [options, message] of cases) {
      await using store = openStore(options);
      for (const call of [
        () => store.put("key", Buffer.from("x")),
        () => store.get("key"),
        () => collectAll(store.list("")),
      ])
        await assert.rejects(
          call,
          (error: Error) => isAppError(error, "object_store_refused") && message.test(error.message),
        );
    }
  });

  it("stores nothing that was damaged or cut off on the way", async () => {
    const bytes = createSeededRandom(3).bytes(300_000);
    for (const fault of ["damage", "cut"] as const) {
      await using between = await damagingProxy(Number(new URL(radosgw.endpoint).port), fault);
      const prefix = `${randomUUID()}/`;
      await using store = openStore({ prefix, endpoint: `http://127.0.0.1:${between.port}` });
      await assert.rejects(store.put("key", bytes), (error) => isAppError(error, "unavailable"));
      await using direct = openStore({ prefix });
      assert.equal(await direct.head("key"), undefined, fault);
    }
  });

  it("has everything again after all of the store was killed, and calls that try again do not notice", async () => {
    await using plain = openStore();
    const store = persistent(plain);
    const bytes = createSeededRandom(4).bytes(2_000_000);
    const { etag } = await store.put("before", bytes);
    await radosgw.kill();
    await assert.rejects(plain.get("before"), (error) => isAppError(error, "unavailable"));
    const writing = store.put("after", bytes, { ifAbsent: true });
    const reading = store.get("before");
    await radosgw.restart();
    assert.deepEqual(digest((await reading).bytes), digest(bytes));
    await writing;
    assert.equal((await store.head("before"))?.etag, etag);
    assert.deepEqual(
      (await collectAll(store.list(""))).map(({ key }) => key),
      ["after", "before"],
    );
  });
});

function digest(bytes: Buffer): string {
  return createHash("sha256").update(bytes).digest("hex");
}

/** Passes a connection on, but for the byte 100,000 of what the client sends: that is another, or the last. */
async function damagingProxy(target: number, fault: "damage" | "cut") {
  const server = createServer((client) => {
    const store = connect(target, "127.0.0.1");
    let passed = 0;
    client.on("data", (piece) => {
      const at = 100_000 - passed;
      passed += piece.length;
      if (at < 0 || at >= piece.length) return void store.write(piece);
      if (fault === "cut") return void store.write(piece.subarray(0, at), () => client.destroy());
      const damaged = Buffer.from(piece);
      damaged.writeUInt8(damaged.readUInt8(at) ^ 1, at);
      store.write(damaged);
    });
    store.pipe(client);
    const end = () => {
      client.destroy();
      store.destroy();
    };
    for (const socket of [client, store]) socket.once("close", end).on("error", () => {});
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as AddressInfo).port,
    async [Symbol.asyncDispose]() {
      server.close();
    },
  };
}

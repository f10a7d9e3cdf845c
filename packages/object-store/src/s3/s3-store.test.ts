import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { AppError, type ErrorCode, Secret } from "@mags/core";
import { collectAll } from "@mags/test-kit";
import type { ObjectStore } from "../object-store.ts";
import { openS3Store, type S3StoreOptions } from "./s3-store.ts";

const SECRET = "very-secret-key";
const OPTIONS = { region: "eu-west-1", bucket: "bucket", prefix: "p/", pathStyle: true, accessKey: "access" } as const;

type Handler = (request: IncomingMessage, response: ServerResponse) => void;

/** A store whose server answers as it is told. */
async function storeBefore(handler: Handler, options: Partial<S3StoreOptions> = {}) {
  const server = createServer((request, response) => {
    request.resume();
    request.once("end", () => handler(request, response));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const endpoint = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const store = openS3Store({ ...OPTIONS, endpoint, secretKey: new Secret(SECRET), ...options });
  return {
    ...store,
    async [Symbol.asyncDispose]() {
      await store[Symbol.asyncDispose]();
      server.closeAllConnections();
      server.close();
    },
  };
}

const answer =
  (status: number, body: string | Buffer = "", headers: Readonly<Record<string, string>> = {}): Handler =>
  (_, response) => {
    response.writeHead(status, headers);
    response.end(body);
  };
const failure = (code: string, message = "") =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>${message}</Message></Error>`;

async function failureOf(call: Promise<unknown>): Promise<AppError> {
  const error = await call.then(
    () => assert.fail("it did not fail"),
    (thrown: unknown) => thrown,
  );
  assert.ok(error instanceof AppError, String(error));
  assert.doesNotMatch(inspect(error, { depth: 10, showHidden: true }), new RegExp(SECRET));
  return error;
}

const put = (store: ObjectStore) => store.put("key", Buffer.from("bytes"));
const get = (store: ObjectStore) => store.get("key");

describe("openS3Store", () => {
  it("says by code what an answer means, and in the message what was attempted and where", async () => {
    const cases: readonly [number, string, ErrorCode][] = [
      [404, failure("NoSuchKey"), "object_not_found"],
      [404, failure("NoSuchBucket"), "object_store_refused"],
      [404, "<html><body>not here</body></html>", "object_store_refused"],
      [404, "", "object_store_refused"],
      [403, failure("SignatureDoesNotMatch"), "object_store_refused"],
      [403, failure("QuotaExceeded"), "disk_full"],
      [400, failure("XAmzContentSHA256Mismatch"), "unavailable"],
      [400, failure("RequestTimeout"), "unavailable"],
      [400, failure("InvalidArgument"), "object_store_refused"],
      [301, failure("PermanentRedirect"), "object_store_refused"],
      [409, failure("ConditionalRequestConflict"), "unavailable"],
      [412, failure("PreconditionFailed"), "precondition_failed"],
      [412, "", "precondition_failed"],
      [429, "", "unavailable"],
      [500, failure("InternalError"), "unavailable"],
      [501, failure("NotImplemented"), "object_store_refused"],
      [503, failure("SlowDown"), "unavailable"],
      [507, "", "disk_full"],
    ];
    for (const [status, body, code] of cases) {
      await using store = await storeBefore(answer(status, body, { "retry-after": "7" }));
      const error = await failureOf(put(store));
      assert.equal(error.code, code, `${status} ${body}`);
      assert.match(error.message, /key in s3:\/\/bucket\/p\/ at http:\/\/127/);
      if (code === "unavailable") assert.equal(error.retryAfterSeconds, 7);
    }
  });

  it("takes 404 of a write over a version for a condition that does not hold", async () => {
    await using store = await storeBefore(answer(404, failure("NoSuchKey")));
    assert.equal((await failureOf(store.put("key", Buffer.from("x"), { ifMatch: '"1"' }))).code, "precondition_failed");
    await store.delete("key");
  });

  it("names the region that a bucket is in", async () => {
    await using store = await storeBefore(
      answer(301, failure("PermanentRedirect"), { "x-amz-bucket-region": "eu-north-1" }),
    );
    assert.match((await failureOf(put(store))).message, /the bucket is in region eu-north-1 \(the store answered 301/);
  });

  it("reads no more of an answer than it has use for", async () => {
    let sent = 0;
    const endless: Handler = (request, response) => {
      response.writeHead(request.method === "PUT" ? 500 : 200, { etag: '"1"' });
      const more = () => {
        while (response.write(Buffer.alloc(65_536, "<a>"))) sent += 65_536;
        response.once("drain", more);
      };
      more();
    };
    await using store = await storeBefore(endless);
    assert.equal((await failureOf(put(store))).code, "unavailable");
    assert.equal((await failureOf(store.get("key", { range: { start: 0, end: 10 } }))).code, "object_store_refused");
    assert.equal((await failureOf(collectAll(store.list("")))).code, "object_store_refused");
    assert.ok(sent < 100 * 1024 * 1024, `${sent} bytes were sent`);
  });

  it("takes nothing that was cut off, or stalls", async () => {
    await using cut = await storeBefore((_, response) => {
      response.writeHead(200, { "content-length": "1000", etag: '"1"' });
      response.write("half", () => response.destroy());
    });
    assert.equal((await failureOf(get(cut))).code, "unavailable");
    await using stalled = await storeBefore(
      (_, response) => void response.writeHead(200, { etag: '"1"' }).write("half"),
      { stallMs: 50 },
    );
    const error = await failureOf(get(stalled));
    assert.equal(error.code, "unavailable");
    assert.match(error.message, /did not answer/);
    await using silent = await storeBefore(() => {}, { stallMs: 50, readStallMs: 20 });
    assert.match((await failureOf(put(silent))).message, /nothing has moved for 0.05 s/);
    assert.match((await failureOf(get(silent))).message, /nothing has moved for 0.02 s/);
    assert.match((await failureOf(collectAll(silent.list("")))).message, /nothing has moved for 0.05 s/);
  });

  it("ends a call with its signal, whatever it waits for", async () => {
    await using store = await storeBefore((request, response) => {
      if (request.method === "GET") response.writeHead(200, { etag: '"1"' }).write("half");
    });
    for (const call of [
      (signal: AbortSignal) => store.get("key", { signal }),
      (signal: AbortSignal) => store.put("key", Buffer.from("x"), { signal }),
      (signal: AbortSignal) => collectAll(store.list("", { signal })),
    ]) {
      const stop = new AbortController();
      const reason = new Error("enough");
      const calling = call(stop.signal);
      setImmediate(() => stop.abort(reason));
      await assert.rejects(calling, reason);
    }
  });

  it("is told of a server that is not there, and of one that speaks no TLS", async () => {
    const gone = openS3Store({ ...OPTIONS, endpoint: "http://127.0.0.1:1", secretKey: new Secret(SECRET) });
    const error = await failureOf(get(gone));
    assert.equal(error.code, "unavailable");
    assert.match(error.message, /http:\/\/127.0.0.1:1 did not answer: ECONNREFUSED/);
    await using plain = await storeBefore(answer(200));
    const endpoint = (/ at (.*)$/.exec(plain.location)?.[1] ?? "").replace("http:", "https:");
    const secure = openS3Store({ ...OPTIONS, endpoint, secretKey: new Secret(SECRET) });
    assert.equal((await failureOf(get(secure))).code, "object_store_refused");
  });

  it("refuses answers that are none of such a store", async () => {
    const range = { start: 2, end: 5 };
    const etag = { etag: '"1"' };
    const cases: readonly [Handler, (store: ObjectStore) => Promise<unknown>, RegExp][] = [
      [answer(200, "bytes"), get, /says no etag/],
      [answer(200), put, /says no etag/],
      [answer(200, "abc", etag), (store) => store.get("key", { range }), /does not know ranges/],
      [
        answer(206, "ab", { ...etag, "content-range": "bytes 2-4/9" }),
        (store) => store.get("key", { range }),
        /another range/,
      ],
      [
        answer(206, "abc", { ...etag, "content-range": "bytes 3-5/9" }),
        (store) => store.get("key", { range }),
        /another range/,
      ],
      [answer(200, "<html/>"), (store) => collectAll(store.list("")), /is no listing/],
      [answer(200, listing(["p/b", "p/a"])), (store) => collectAll(store.list("")), /in their order/],
      [answer(200, listing(["q/a"])), (store) => collectAll(store.list("")), /not asked for/],
      [answer(200, listing(["p/a"], "more")), (store) => collectAll(store.list("")), /in their order/],
    ];
    for (const [handler, call, message] of cases) {
      await using store = await storeBefore(handler);
      const error = await failureOf(call(store));
      assert.equal(error.code, "object_store_refused");
      assert.match(error.message, message);
    }
  });

  it("learns whether a store wants etags in quotes", async () => {
    const seen: string[] = [];
    const wants =
      (form: string): Handler =>
      ({ headers }, response) => {
        seen.push(headers["if-match"] ?? "");
        answer(headers["if-match"] === form ? 200 : 412, "", { etag: '"1"' })(undefined as never, response);
      };
    const write = (store: ObjectStore, ifMatch: string) => store.put("key", Buffer.from("x"), { ifMatch });
    await using bare = await storeBefore(wants("1"));
    assert.equal((await failureOf(write(bare, '"0"'))).code, "precondition_failed");
    await write(bare, '"1"');
    await write(bare, '"1"');
    assert.deepEqual(seen.splice(0), ['"0"', "0", '"1"', "1", "1"]);
    await using quoted = await storeBefore(wants('"1"'));
    await write(quoted, '"1"');
    await failureOf(write(quoted, '"0"'));
    assert.deepEqual(seen, ['"1"', '"0"']);
  });

  it("leaves out what is no object of its own in the bucket", async () => {
    await using store = await storeBefore(answer(200, listing(["p/a", "p/folder/", "p/x//y", "p/z"])));
    assert.deepEqual(
      (await collectAll(store.list(""))).map(({ key }) => key),
      ["a", "z"],
    );
  });
});

function listing(keys: readonly string[], next = ""): string {
  const contents = keys.map(
    (key) => `<Contents><Key>${key}</Key><Size>1</Size><LastModified>2026-01-01T00:00:00Z</LastModified></Contents>`,
  );
  const more = next ? `<IsTruncated>true</IsTruncated><NextContinuationToken>${next}</NextContinuationToken>` : "";
  return `<ListBucketResult>${contents.join("")}${more}</ListBucketResult>`;
}

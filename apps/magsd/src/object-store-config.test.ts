import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { inspect } from "node:util";
import { Secret } from "@mags/core";
import { parseConfig } from "./config.ts";

const S3 = {
  kind: "s3",
  endpoint: "https://s3.example.com",
  bucket: "bucket",
  access_key: "access",
  secret_key: "very-secret",
};
const parse = (object_store: unknown) => parseConfig(JSON.stringify({ object_store }), "magsd.json").object_store;

describe("object_store", () => {
  it("is a folder where nothing else is said", () => {
    assert.deepEqual(parseConfig("{}", "magsd.json").object_store, { kind: "filesystem" });
    assert.deepEqual(parse({ kind: "filesystem" }), { kind: "filesystem" });
  });

  it("is a bucket, with a secret that is not printed or is in a file", () => {
    const parsed = parse({ ...S3, prefix: "mags/prod", path_style: false });
    assert.ok(parsed.kind === "s3" && parsed.secret_key instanceof Secret);
    assert.equal(parsed.secret_key.reveal(), "very-secret");
    assert.equal(parsed.region, "us-east-1");
    assert.doesNotMatch(inspect(parsed) + JSON.stringify(parsed), /very-secret/);
    const { secret_key: _, ...rest } = S3;
    const other = parse({ ...rest, secret_key_file: "/etc/mags/secret" });
    assert.ok(other.kind === "s3" && other.secret_key === "/etc/mags/secret" && other.path_style);
  });

  it("is refused with the key that is wrong, and never with the secret", () => {
    const cases: readonly [object, RegExp][] = [
      [{ ...S3, endpoint: undefined }, /object_store\.endpoint: is needed/],
      [{ ...S3, endpoint: "s3.example.com" }, /object_store\.endpoint: must be http/],
      [{ ...S3, endpoint: "https://key:very-secret@s3.example.com" }, /object_store\.endpoint: must be http/],
      [{ ...S3, endpoint: "https://s3.example.com/path" }, /object_store\.endpoint: .*no path/],
      [{ ...S3, bucket: "A bucket" }, /object_store\.bucket: must be the name/],
      [
        { ...S3, bucket: undefined, access_key: undefined },
        /object_store\.bucket: is.*object_store\.access_key: is needed/s,
      ],
      [{ ...S3, secret_key: undefined }, /object_store\.secret_key: is needed for kind s3; or secret_key_file/],
      [{ ...S3, secret_key_file: "/file" }, /object_store\.secret_key_file: cannot be beside/],
      [{ ...S3, secret_key: undefined, secret_key_file: "file" }, /object_store\.secret_key_file: must be an absolute/],
      [{ ...S3, prefix: "/a" }, /object_store\.prefix: must be folder names/],
      [{ ...S3, prefix: "a/../b" }, /object_store\.prefix: must be folder names/],
      [{ kind: "filesystem", bucket: "bucket" }, /object_store\.bucket: is for kind s3 only/],
      [{ kind: "memory" }, /object_store\.kind: /],
      [{ ...S3, buckets: "x" }, /buckets/],
    ];
    for (const [object_store, message] of cases)
      assert.throws(
        () => parse(object_store),
        (error: Error) => message.test(error.message) && !inspect(error).includes("very-secret"),
      );
  });
});

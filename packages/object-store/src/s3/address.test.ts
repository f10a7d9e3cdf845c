import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { listUrl, objectUrl } from "./address.ts";

const place = { endpoint: "https://s3.example.com:9000", bucket: "bucket", prefix: "my data/", pathStyle: true };

describe("objectUrl", () => {
  it("has the bucket in the path or in front of the host", () => {
    assert.equal(objectUrl(place, "a/b"), "https://s3.example.com:9000/bucket/my%20data/a/b");
    assert.equal(
      objectUrl({ ...place, pathStyle: false, prefix: "" }, "a/b"),
      "https://bucket.s3.example.com:9000/a/b",
    );
  });

  it("leaves nothing of a key to be understood in another way", () => {
    const key = "%2e%2e/a+b/!'()*?#&=\\é";
    const url = objectUrl({ ...place, prefix: "" }, key);
    assert.equal(url, "https://s3.example.com:9000/bucket/%252e%252e/a%2Bb/%21%27%28%29%2A%3F%23%26%3D%5C%C3%A9");
    assert.equal(new URL(url).href, url);
  });
});

describe("listUrl", () => {
  it("encodes what is asked for", () => {
    const url = listUrl(place, { "list-type": "2", prefix: "my data/a&b" });
    assert.equal(url, "https://s3.example.com:9000/bucket/?list-type=2&prefix=my%20data%2Fa%26b");
  });
});

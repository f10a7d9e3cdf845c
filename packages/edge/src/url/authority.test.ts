import assert from "node:assert/strict";
import type { IncomingMessage } from "node:http";
import { describe, it } from "node:test";
import { authorityOf, targetOf } from "./authority.ts";

const asking = (url: string, ...hosts: string[]) =>
  ({ method: "GET", url, rawHeaders: hosts.flatMap((host) => ["Host", host]) }) as unknown as IncomingMessage;

describe("whom a request is for", () => {
  it("is what it says, whatever case and port", () => {
    assert.deepEqual(authorityOf(asking("/", "Box.Example.:8080")), { host: "box.example", text: "Box.Example.:8080" });
    assert.equal(authorityOf(asking("http://box.example/x", "BOX.example"))?.host, "box.example");
  });

  it("is nobody where it says nothing, two things, or what can be no name", () => {
    for (const asked of [
      ...[asking("/"), asking("/", "a.example", "b.example"), asking("http://a.example/", "b.example")],
      ...[asking("http://user@a.example/", "a.example"), asking("http://a.example:80/", "a.example")],
      ...[
        "",
        "a b",
        "a/b",
        "[::1]",
        "a:b",
        "-",
        ".a",
        "a%2eb",
        "a,b",
        "ä.example",
        `${"a".repeat(254)}`,
        "a:123456",
      ].map((host) => asking("/", host)),
    ])
      assert.equal(authorityOf(asked), undefined, JSON.stringify(asked));
  });
});

describe("what a guest is asked for", () => {
  it("is what follows the name, byte for byte", () => {
    const all = [
      ...[
        ["/a//b?x#y", "/a//b?x#y"],
        ["*", "*"],
        ["http://a", "/"],
        ["HTTPS://a?x", "/?x"],
        ["http://a/b?c", "/b?c"],
      ],
      ...[
        ["ftp://a/", undefined],
        ["a/b", undefined],
        ["//", "//"],
      ],
    ] as const;
    for (const [url, target] of all) assert.equal(targetOf(asking(url)), target, url);
  });

  it("is the server as a whole where a proxy is asked what that can", () => {
    const asked = (url: string) => targetOf(Object.assign(asking(url), { method: "OPTIONS" }));
    assert.deepEqual(["*", "http://a", "http://a/", "http://a?x"].map(asked), ["*", "*", "/", "/?x"]);
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type ClientSeen, requestHeaders, responseHeaders } from "./headers.ts";

const client: ClientSeen = {
  ...{ address: "192.0.2.7", first: "192.0.2.7", scheme: "https", authority: "box.example:8443" },
  ...{ port: 8443, trusted: false },
};
const own = new Set(["mags-access"]);
const SEEN = [
  ...["X-Forwarded-For", "192.0.2.7", "X-Forwarded-Proto", "https", "X-Forwarded-Host", "box.example:8443"],
  ...["X-Forwarded-Port", "8443", "X-Real-IP", "192.0.2.7"],
];

describe("the head of a request", () => {
  const of = (raw: string[], seen = client) => requestHeaders(raw, { client: seen, own });

  it("keeps names, values and order, with the host that was asked for", () => {
    const raw = ["accept", "*/*", "X-Odd", "é", "host", "other", "X-Odd", "2", "Content-Length", "3"];
    assert.deepEqual(of(raw), [
      ...["Host", "box.example:8443", "accept", "*/*", "X-Odd", "é", "X-Odd", "2", "Content-Length", "3"],
      ...SEEN,
    ]);
  });

  it("loses what is of one connection only, also what Connection names, but not what says how long it is", () => {
    const raw = [
      ...[
        "Connection",
        "close, X-Secret, content-length, Cookie",
        "X-Secret",
        "1",
        "Keep-Alive",
        "5",
        "Upgrade",
        "h2c",
      ],
      ...["HTTP2-Settings", "x", "Transfer-Encoding", "chunked", "Proxy-Authorization", "x", "TE", "trailers, gzip"],
      ...["Content-Length", "4", "Cookie", "a=1", ":authority", "x"],
    ];
    const kept = ["TE", "trailers", "Content-Length", "4", "Cookie", "a=1"];
    assert.deepEqual(of(raw), ["Host", "box.example:8443", ...kept, ...SEEN]);
  });

  it("says itself who the client is, unless a proxy of the operator's has said so", () => {
    const raw = [
      "X-Forwarded-For",
      "127.0.0.1",
      "x-real-ip",
      "127.0.0.1",
      "Forwarded",
      "for=x",
      "X-Forwarded-Proto",
      "http",
    ];
    assert.deepEqual(of(raw), ["Host", "box.example:8443", ...SEEN]);
    const given = ["X-Forwarded-For", "198.51.100.1", "X-Forwarded-For", "198.51.100.2", "X-Forwarded-Proto", "http"];
    assert.deepEqual(of(given, { ...client, first: "198.51.100.1", trusted: true }).slice(2), [
      ...["X-Forwarded-For", "198.51.100.1, 198.51.100.2, 192.0.2.7", "X-Forwarded-Proto", "http"],
      ...["X-Forwarded-Host", "box.example:8443", "X-Forwarded-Port", "8443", "X-Real-IP", "198.51.100.1"],
    ]);
  });

  it("keeps the cookies and headers of the gateway from the guest", () => {
    const raw = [
      "Cookie",
      "a=1; Mags-Access=secret;b=2",
      "cookie",
      "mags-access=x",
      "cookie",
      "c=3",
      "Mags-Access",
      "x",
    ];
    assert.deepEqual(of(raw), ["Host", "box.example:8443", "Cookie", "a=1; b=2; c=3", ...SEEN]);
  });
});

describe("the head of an answer", () => {
  it("has cookies of this host only, and none of the gateway's", () => {
    const raw = [
      ...["Set-Cookie", "a=1; Domain=.example; Path=/", "set-cookie", "b=2;domain=example;Secure"],
      ...["Set-Cookie", "mags-access=x; Path=/", "Set-Cookie", "domain=3", "Set-Cookie", "=mags-access=x"],
    ];
    const kept = ["Set-Cookie", "a=1; Path=/", "set-cookie", "b=2;Secure", "Set-Cookie", "domain=3"];
    assert.deepEqual(responseHeaders(raw, own), kept);
  });

  it("loses what is of one connection only, where else it is served, and what only the gateway says", () => {
    const raw = [
      "Connection",
      "keep-alive, X-Hop",
      "X-Hop",
      "1",
      "Transfer-Encoding",
      "chunked",
      "Alt-Svc",
      "h3",
      "Clear-Site-Data",
      '"cookies"',
      "Mags-Error",
      "internal",
      "ETag",
      "1",
    ];
    assert.deepEqual(responseHeaders(raw, own), ["ETag", "1"]);
  });
});

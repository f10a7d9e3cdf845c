import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { silentLogger } from "@mags/core";
import { startUrlGateway, type UrlGateway } from "../src/index.ts";
import { createCertificates } from "../src/url/certificates.ts";
import { LIMITS, say } from "./url-front.ts";

describe("the port of HTTP beside HTTPS", () => {
  let gateway: UrlGateway;
  const asked: { readonly host: string; readonly token: string }[] = [];
  before(async () => {
    gateway = await startUrlGateway(
      {
        log: silentLogger,
        node: { connect: () => assert.fail("no guest is asked") },
        directory: {
          note: () => assert.fail("nothing is noted"),
          route: () => assert.fail("no route is asked for"),
          certificate: async () => null,
          async challenge(one) {
            asked.push(one);
            if (one.host === "away.example") throw new Error("the server is away");
            return one.host === "own.example" ? `${one.token}.print` : null;
          },
        },
      },
      {
        ...{ host: "127.0.0.1", port: 0, certificates: createCertificates([]), isTrusted: () => false },
        ...{ plain: { host: "127.0.0.1", port: 0, publicPort: 8443 }, limits: { ...LIMITS, headMs: 1_000 } },
      },
    );
  });
  after(() => gateway[Symbol.asyncDispose]());

  const ask = (target: string, host = "own.example", method = "GET") =>
    say(gateway.plainPort ?? 0, `${method} ${target} HTTP/1.1\r\nHost: ${host}\r\n\r\n`);

  it("sends clients to HTTPS, with the method, the path and the public port", async () => {
    assert.match(await ask("/a/b?c=d"), /^HTTP\/1\.1 308 [\s\S]*location: https:\/\/own\.example:8443\/a\/b\?c=d\r\n/);
    assert.match(
      await ask("/", "OWN.example:80", "POST"),
      /^HTTP\/1\.1 308 .*\r\nlocation: https:\/\/own\.example:8443\/\r\n/,
    );
    assert.match(await ask("http://own.example/x"), /location: https:\/\/own\.example:8443\/x\r\n/);
  });

  it("answers who checks whose a host is, by what the directory says", async () => {
    assert.match(await ask("/.well-known/acme-challenge/t0-k_en?x"), /^HTTP\/1\.1 200 [\s\S]*\r\n\r\nt0-k_en\.print$/);
    assert.match(await ask("/.well-known/acme-challenge/a", "else.example"), /^HTTP\/1\.1 404 /);
    assert.match(await ask("/.well-known/acme-challenge/a", "away.example"), /^HTTP\/1\.1 503 /);
    assert.deepEqual(asked[0], { host: "own.example", token: "t0-k_en" });
  });

  it("refuses what does not say which host it is for, and waits for no head without end", async () => {
    assert.match(await ask("/", "a b"), /^HTTP\/1\.1 400 /);
    assert.match(await ask("/", "own.example\r\nHost: other.example"), /^HTTP\/1\.1 400 /);
    assert.match(await ask("http://other.example/"), /^HTTP\/1\.1 400 /);
    assert.match(await ask("/", `own.example\r\nX-Long: ${"x".repeat(40_000)}`), /^HTTP\/1\.1 431 /);
    assert.match(await say(gateway.plainPort ?? 0, "GET / HTTP/1.1\r\n"), /^HTTP\/1\.1 408 /);
  });
});

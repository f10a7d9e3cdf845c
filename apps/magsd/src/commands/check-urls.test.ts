import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { describe, it } from "node:test";
import { parseConfig } from "../config.ts";
import type { UrlStatus } from "../status.ts";
import { checkUrls } from "./check-urls.ts";

describe("checkUrls", () => {
  async function found(urls: object, status: Partial<UrlStatus> | null = null): Promise<string> {
    const config = parseConfig(
      JSON.stringify({ ssh: { job_ports: null }, urls: { listen: { port: 0 }, ...urls } }),
      "magsd.json",
    );
    const all = await checkUrls(
      config,
      status && ({ port: 7780, plain_port: null, problem: null, ...status } as UrlStatus),
    );
    return all.map(({ name, state, found: text, cure }) => `${state} ${name}: ${text} → ${cure}`).join("\n");
  }

  it("looks at the ports of one that does not run, and at the problem of one that does", async () => {
    await using taken = createServer().listen(0, "127.0.0.1");
    await once(taken, "listening");
    const { port } = taken.address() as AddressInfo;
    assert.match(await found({}), /^ok URLs: 127\.0\.0\.1:0 is free/);
    assert.match(
      await found({ listen: { port } }),
      /^fail URLs: .*EADDRINUSE.* → end what listens there, or set urls\.listen/,
    );
    assert.match(await found({}, {}), /^ok URLs: port 7780 is listened on/);
    assert.match(await found({}, { problem: "it has ended" }), /^fail URLs: it has ended → read /);
    assert.equal(await found({ enabled: false }), "");
  });

  it("tells whether programs find what clients are told", async () => {
    assert.match(await found({}), /^(ok|warn) domain of URLs: (names below localhost lead to|programs do not find)/m);
    const cure =
      /^warn domain of URLs: programs do not find .*\.a\.invalid: .* → make a DNS record for \*\.a\.invalid/m;
    assert.match(await found({ domain: "a.invalid" }), cure);
  });
});

import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { once } from "node:events";
import { type AddressInfo, createServer } from "node:net";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { makeTempDir, type TempDir } from "@mags/test-kit";
import { parseConfig } from "../config.ts";
import type { UrlStatus } from "../status.ts";
import { checkUrls } from "./check-urls.ts";

describe("checkUrls", () => {
  let temp: TempDir;
  before(async () => {
    temp = await makeTempDir();
  });
  after(() => temp[Symbol.asyncDispose]());

  async function certificateFor(days: number) {
    const [certificate_file, key_file] = [join(temp.path, `${days}.pem`), join(temp.path, `${days}.key`)];
    const curve = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", `${days}`];
    const args = ["req", "-x509", ...curve, "-subj", "/CN=a.example", "-keyout", key_file, "-out", certificate_file];
    await promisify(execFile)("openssl", args);
    return { certificate_file, key_file };
  }
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

  it("tells of certificates that end soon, and of files that cannot be used", async () => {
    const of = async (days: number) => found({ tls: { certificates: [await certificateFor(days)] } });
    assert.match(await of(30), /^ok certificates: .*30\.pem is valid for (29|30) more days/m);
    assert.match(await of(10), /^warn certificates: .*10\.pem is valid for (9|10) more days → put a newer one/m);
    const nowhere = { certificate_file: "/nowhere/a.pem", key_file: "/nowhere/a.key" };
    const broken = await found({ tls: { certificates: [nowhere] } });
    assert.match(broken, /^fail certificates: urls\.tls\.certificates\[0\]\.certificate_file cannot be read: ENOENT/m);
  });

  it("tells whether programs find what clients are told", async () => {
    assert.match(await found({}), /^(ok|warn) domain of URLs: (names below localhost lead to|programs do not find)/m);
    const cure =
      /^warn domain of URLs: programs do not find .*\.a\.invalid: .* → make a DNS record for \*\.a\.invalid/m;
    assert.match(await found({ domain: "a.invalid" }), cure);
  });
});

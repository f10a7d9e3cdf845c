import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { promisify } from "node:util";
import { makeTempDir, type TempDir } from "@mags/test-kit";
import { parseConfig } from "../config.ts";
import type { AcmeStatus } from "../status.ts";
import { checkCertificates } from "./check-certificates.ts";

const DAY_MS = 86_400_000;

describe("checkCertificates", () => {
  let temp: TempDir;
  before(async () => {
    temp = await makeTempDir();
  });
  after(() => temp[Symbol.asyncDispose]());

  /** For 30 days. @param name  Of its hosts; null: it is of none. */
  async function certificateFor(name: string | null) {
    const [certificate_file, key_file] = [join(temp.path, "a.pem"), join(temp.path, "a.key")];
    const kind = ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-days", "30"];
    const names = name === null ? [] : ["-addext", `subjectAltName=DNS:${name}`];
    const files = ["-keyout", key_file, "-out", certificate_file];
    const subject = ["-subj", "/CN=0123456789ab.apps.example.org"];
    await promisify(execFile)("openssl", ["req", "-x509", ...kind, ...subject, ...names, ...files]);
    return { certificate_file, key_file };
  }
  async function found(keys: object, state: { acme?: Partial<AcmeStatus>; daysLater?: number } = {}): Promise<string> {
    const urls = { domain: "apps.example.org", ...keys };
    const config = parseConfig(JSON.stringify({ ssh: { job_ports: null }, urls }), "magsd.json");
    const none = { valid: 0, expired: 0, missing: 0, first_end: null, failing: 0, newest_failure: null };
    const acme = state.acme ? { ...none, ending: 0, first_ending: null, ...state.acme } : null;
    const all = await checkCertificates(config, {
      acme,
      now: new Date(Date.now() + (state.daysLater ?? 0) * DAY_MS),
    });
    return all.map(({ name, state: mark, found: text, cure }) => `${mark} ${name}: ${text} → ${cure}`).join("\n");
  }
  const ofFile = async (name: string | null, daysLater = 0) =>
    found({ tls: { certificates: [await certificateFor(name)] } }, { daysLater });

  it("tells of files that end soon, have ended, or cannot be used", async () => {
    const name = "*.apps.example.org";
    assert.match(await ofFile(name), /^ok certificates: .*a\.pem is valid for (29|30) more days → undefined$/);
    assert.match(
      await ofFile(name, 20),
      /^warn certificates: .*a\.pem is valid for (9|10) more days → put a newer one/,
    );
    assert.match(await ofFile(name, 31), /^fail certificates: .*a\.pem has expired → put a newer one/);
    const nowhere = { certificate_file: "/nowhere/a.pem", key_file: "/nowhere/a.key" };
    const broken = await found({ tls: { certificates: [nowhere] } });
    assert.match(broken, /^fail certificates: urls\.tls\.certificates\[0\]\.certificate_file cannot be read: ENOENT/);
  });

  it("tells where none is of the domain, as browsers look at it", async () => {
    const none =
      /^warn certificates: none is of \*\.apps\.example\.org: .* → put one of \*\.apps\.example\.org into urls/m;
    assert.doesNotMatch(await ofFile("*.apps.example.org"), none);
    assert.match(await ofFile("*.example.org"), none);
    assert.match(await ofFile(null), none);
    const acme = { directory_url: "https://acme.example", terms_agreed: true };
    assert.match(await found({ acme, plain: {} }), none);
    assert.equal(await found({}), "");
  });

  it("tells of aliases whose certificates end soon and are not renewed", async () => {
    const counts = { valid: 12, expired: 1, missing: 1 };
    assert.equal(await found({}, { acme: counts }), "ok certificates: 12 of 14 aliases have one by ACME → undefined");
    assert.match(
      await found({}, { acme: { ...counts, failing: 2 } }),
      /^ok .* by ACME; at the last try 2 were refused/,
    );
    const inDays = (days: number) => ({
      ...{ ...counts, failing: 2, ending: 2 },
      first_ending: {
        host: "shop.example",
        at: new Date(Date.now() + (days + 0.5) * DAY_MS).toISOString(),
        problem: "404",
      },
    });
    assert.match(
      await found({}, { acme: inDays(3) }),
      /^warn certificates: that of shop\.example is valid for 3 more days and is not renewed, as are 1 more: 404 → have/,
    );
    assert.match(
      await found({}, { acme: { ...inDays(-2), ending: 1 } }),
      /^warn certificates: that of shop\.example has expired and is not renewed: 404 → have the name lead here again/,
    );
  });
});

import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdtempSync, readFileSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, before, describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { type ParsedPublicKey, parsePublicKey } from "./public-key.ts";
import { checkSignature } from "./signature.ts";

const TYPES = [
  ["ed25519", "256", "ssh-ed25519"],
  ["ecdsa", "256", "ecdsa-sha2-nistp256"],
  ["ecdsa", "384", "ecdsa-sha2-nistp384"],
  ["ecdsa", "521", "ecdsa-sha2-nistp521"],
  ["rsa", "2048", "ssh-rsa"],
] as const;

const namespace = "mags-key";
const text = "mags-key a b c";

let folder: string;
before(() => {
  folder = mkdtempSync(join(tmpdir(), "mags-"));
});
after(() => rmSync(folder, { recursive: true, force: true }));

function makeKey(type: string, bits: string, name = `${type}-${bits}`): ParsedPublicKey {
  execFileSync("ssh-keygen", ["-q", "-t", type, "-b", bits, "-N", "", "-C", "me@here", "-f", join(folder, name)]);
  return parsePublicKey(readFileSync(join(folder, `${name}.pub`), "utf8"));
}

function sign(name: string, options: { readonly namespace?: string; readonly more?: readonly string[] } = {}): string {
  const args = ["-Y", "sign", "-q", "-f", join(folder, name), "-n", options.namespace ?? namespace];
  return execFileSync("ssh-keygen", [...args, ...(options.more ?? [])], { input: text, encoding: "utf8" });
}

function refusal(pattern: RegExp): (error: unknown) => boolean {
  return (error) => isAppError(error, "validation_failed") && pattern.test(error.message);
}

describe("checkSignature", () => {
  for (const [type, bits, name] of TYPES)
    it(`takes what ssh-keygen signs with ${name}, and nothing that differs in a bit`, () => {
      const by = makeKey(type, bits);
      assert.deepEqual([by.type, by.comment], [name, "me@here"]);
      const shown = execFileSync("ssh-keygen", ["-l", "-f", join(folder, `${type}-${bits}.pub`)], { encoding: "utf8" });
      assert.ok(shown.includes(by.fingerprint), shown);
      const armored = sign(`${type}-${bits}`);
      checkSignature(armored, { by, namespace, text });
      assert.throws(() => checkSignature(armored, { by, namespace, text: `${text}\n` }), refusal(/exactly its text/));

      const bytes = Buffer.from(armored.replace(/-----.*-----|\s/g, ""), "base64");
      for (let at = 0; at < bytes.length; at++) {
        const tampered = Buffer.from(bytes);
        tampered[at] = (tampered[at] ?? 0) ^ (1 << (at % 8));
        const changed = `-----BEGIN SSH SIGNATURE-----\n${tampered.toString("base64")}\n-----END SSH SIGNATURE-----\n`;
        assert.throws(() => checkSignature(changed, { by, namespace, text }), refusal(/^signature: /), `byte ${at}`);
        const cut = changed.replace(tampered.toString("base64"), bytes.subarray(0, at).toString("base64"));
        assert.throws(() => checkSignature(cut, { by, namespace, text }), refusal(/^signature: /), `cut at ${at}`);
      }
    });

  it("says of every key that differs in a bit that it is none, or takes it for the other key that it is", () => {
    for (const [type, bits, name] of TYPES) {
      const { blob, fingerprint } = makeKey(type, bits, `changed-${type}-${bits}`);
      for (let at = 0; at < blob.length; at++) {
        const changed = Buffer.from(blob);
        changed[at] = (changed[at] ?? 0) ^ (1 << (at % 8));
        for (const bytes of [changed, blob.subarray(0, at)])
          try {
            assert.notEqual(parsePublicKey(`${name} ${bytes.toString("base64")}`).fingerprint, fingerprint);
          } catch (error) {
            assert.ok(isAppError(error, "validation_failed"), `${name}, byte ${at}: ${error}`);
          }
      }
    }
  });

  it("takes both digests that there are", () => {
    const by = makeKey("ed25519", "256", "digests");
    for (const digest of ["sha256", "sha512"])
      checkSignature(sign("digests", { more: ["-O", `hashalg=${digest}`] }), { by, namespace, text });
  });

  it("says which key, and which use, a signature is of", () => {
    const by = makeKey("ed25519", "256", "one");
    const other = makeKey("ed25519", "256", "two");
    assert.throws(
      () => checkSignature(sign("two"), { by, namespace, text }),
      (error) => {
        assert.ok(isAppError(error, "validation_failed"));
        return error.message.includes(by.fingerprint) && error.message.includes(other.fingerprint);
      },
    );
    const forFiles = sign("one", { namespace: "file" });
    assert.throws(() => checkSignature(forFiles, { by, namespace, text }), refusal(/for "file", not for "mags-key"/));
    assert.throws(() => checkSignature("nonsense", { by, namespace, text }), refusal(/is none of SSH/));
  });
});

describe("parsePublicKey", () => {
  const line = (type: string, ...parts: readonly Buffer[]) => {
    const all = [Buffer.from(type), ...parts].flatMap((part) => {
      const length = Buffer.alloc(4);
      length.writeUInt32BE(part.length);
      return [length, part];
    });
    return `${type} ${Buffer.concat(all).toString("base64")}`;
  };
  const ed25519 = line("ssh-ed25519", Buffer.alloc(32, 7));

  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["nothing", "", /not a line as in \.pub files/],
    [
      "a private key",
      "-----BEGIN OPENSSH PRIVATE KEY-----\nb3Bl\n-----END OPENSSH PRIVATE KEY-----",
      /private key.*stay/,
    ],
    ["another format", '---- BEGIN SSH2 PUBLIC KEY ----\nComment: "x"', /ssh-keygen -i/],
    ["several keys", `${ed25519} a\n${ed25519} b`, /more than one line/],
    ["a key of a token", "sk-ssh-ed25519@openssh.com AAAA", /security key .*ssh-keygen -t ed25519/],
    ["a certificate", "ssh-ed25519-cert-v01@openssh.com AAAA", /certificate/],
    ["a DSA key", "ssh-dss AAAA", /DSA/],
    ["an unknown type", "ssh-future AAAA", /not supported: "ssh-future"/],
    ["a key cut short", ed25519.slice(0, -8), /damaged/],
    ["a key with more behind it", line("ssh-ed25519", Buffer.alloc(32, 7), Buffer.alloc(1)), /damaged/],
    ["a short key", line("ssh-ed25519", Buffer.alloc(31, 7)), /damaged/],
    ["a key that is of another type inside", ed25519.replace("ssh-ed25519 ", "ssh-rsa "), /damaged/],
    [
      "a point that is on no curve",
      line("ecdsa-sha2-nistp256", Buffer.from("nistp256"), Buffer.concat([Buffer.from([4]), Buffer.alloc(64, 7)])),
      /damaged/,
    ],
    ["a negative number", line("ssh-rsa", Buffer.from([1, 0, 1]), Buffer.alloc(256, 0xff)), /damaged/],
    [
      "an RSA key of 1024 bits",
      line("ssh-rsa", Buffer.from([1, 0, 1]), Buffer.concat([Buffer.from([0]), Buffer.alloc(128, 0xff)])),
      /of 1024 bits, at least 2048/,
    ],
    [
      "an RSA key of 20000 bits",
      line("ssh-rsa", Buffer.from([1, 0, 1]), Buffer.concat([Buffer.from([0]), Buffer.alloc(2500, 0xff)])),
      /at most 16384/,
    ],
  ];

  for (const [what, given, pattern] of cases)
    it(`refuses ${what}`, () => {
      assert.throws(() => parsePublicKey(given), refusal(pattern));
    });

  it("takes a line with blanks around it, and with a comment of several words", () => {
    assert.equal(parsePublicKey(`  ${ed25519}\t my  laptop \n`).comment, "my  laptop");
    assert.equal(parsePublicKey(ed25519).comment, "");
  });
});

import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { describe, it } from "node:test";
import { listSourceFiles, ROOT, readSource } from "./source-files.ts";

interface Rule {
  readonly name: string;
  readonly pattern: RegExp;
  readonly cure: string;
  readonly except?: (file: string) => boolean;
}

const TEXT =
  /\.(ts|tsx|js|mjs|cjs|json|md|sh|c|h|py|css|html|yml|yaml|toml|service)$|^(quickstart|test)$|\.ci\/|Makefile$/;
const SERVER_SOURCE = /^(packages|apps)\/[^/]+\/src\/.*(?<!\.test)\.ts$/;
const SELF = "tools/repository-rules.test.ts";

const RULES: readonly Rule[] = [
  {
    name: "no unfinished work",
    pattern: /\b(TODO|FIXME|XXX|HACK)\b/,
    cure: "finish it, or file it where work is planned",
    except: (file) => file === "package-lock.json",
  },
  {
    name: "no paths of one machine",
    pattern: /(?<![\w.-])\/(work|home\/[a-z]+|Users\/[A-Za-z]+|opt\/toolchain)\//,
    cure: "use a path relative to the repository, or take it as an argument",
  },
  {
    name: "no sleeping in tests",
    pattern: /\bawait (sleep|setTimeout|delay)\(\s*\d{3,}/,
    cure: "wait for the condition, with a deadline: waitFor of @mags/test-kit",
    except: (file) => !file.endsWith(".test.ts"),
  },
  {
    name: "no program that parses a disk which a guest can write",
    pattern: /\b(qemu-img|qemu-nbd|qemu-io|e2fsck|fsck\.ext4|debugfs|dumpe2fs|losetup|guestmount)\b/,
    cure: "run it in a jail, as a uid that owns nothing else, and add the place to docs/decisions/0017-hostile-input.md",
    except: (file) => !SERVER_SOURCE.test(file) || file.startsWith("packages/test-kit/"),
  },
  {
    name: "no reading of what lies in a jail",
    pattern:
      /\b(readFile|readFileSync|createReadStream|open|openSync|stat|readdir|opendir|readlink|cp|copyFile)\([^)]*\.jail\b/,
    cure: "ask QEMU, or the agent; whoever took QEMU over writes what lies there",
    except: (file) => !SERVER_SOURCE.test(file),
  },
  {
    name: "no package registry but the configured one",
    pattern: /"resolved": "http/,
    cure: "npm config set omit-lockfile-registry-resolved true, then npm install again",
    except: (file) => file !== "package-lock.json",
  },
];

describe("the repository", () => {
  const files = listSourceFiles().filter((file) => TEXT.test(file) && file !== SELF);

  for (const rule of RULES) {
    it(`has ${rule.name}`, () => {
      const found: string[] = [];
      for (const file of files) {
        if (rule.except?.(file)) continue;
        for (const [index, line] of readSource(file).split("\n").entries())
          if (rule.pattern.test(line)) found.push(`${file}:${index + 1}: ${line.trim().slice(0, 120)}`);
      }
      assert.deepEqual(found, [], `${rule.cure}:\n${found.join("\n")}`);
    });
  }

  it("has no shell script with an error of syntax", () => {
    const scripts = listSourceFiles().filter((file) => file.endsWith(".sh") || /^#!.*\bsh\b/.test(readSource(file)));
    assert.ok(scripts.length > 3, "the scripts were found at all");
    for (const script of scripts) {
      const result = spawnSync("bash", ["-n", script], { cwd: ROOT, encoding: "utf8" });
      assert.equal(result.status, 0, result.stderr);
    }
  });
});

/** A Python wheel and an npm package, made on the spot and laid out as their registries serve them. */
import { execFileSync } from "node:child_process";
import { createHash } from "node:crypto";
import { mkdirSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";

/** `pip install greeting` finds it at <files>/simple/. */
export function putWheel(files: string): void {
  const folder = join(files, "simple", "greeting");
  mkdirSync(folder, { recursive: true });
  const name = "greeting-1.0-py3-none-any.whl";
  const program = `
import sys, zipfile
info = "greeting-1.0.dist-info/"
with zipfile.ZipFile(sys.argv[1], "w") as wheel:
    wheel.writestr("greeting.py", "TEXT = 'hello from a wheel'\\n")
    wheel.writestr(info + "METADATA", "Metadata-Version: 2.1\\nName: greeting\\nVersion: 1.0\\n")
    wheel.writestr(info + "WHEEL", "Wheel-Version: 1.0\\nGenerator: test\\nRoot-Is-Purelib: true\\nTag: py3-none-any\\n")
    wheel.writestr(info + "RECORD", "greeting.py,,\\n" + info + "METADATA,,\\n" + info + "WHEEL,,\\n" + info + "RECORD,,\\n")
`;
  execFileSync("python3", ["-c", program, join(folder, name)]);
  writeFileSync(join(folder, "index.html"), `<!DOCTYPE html><html><body><a href="${name}">${name}</a></body></html>`);
}

/** `npm install greeting` finds it when <files>/npm is the registry at `registry`. */
export function putNpmPackage(files: string, registry: string): void {
  const folder = join(files, "npm");
  const tree = join(folder, "tree");
  mkdirSync(join(tree, "package"), { recursive: true });
  const manifest = { name: "greeting", version: "1.0.0", main: "index.js", bin: { greet: "index.js" } };
  writeFileSync(join(tree, "package", "package.json"), JSON.stringify(manifest));
  writeFileSync(join(tree, "package", "index.js"), "#!/usr/bin/env node\nconsole.log('hello from npm');\n");
  const tarball = join(folder, "greeting-1.0.0.tgz");
  execFileSync("tar", ["-C", tree, "-czf", tarball, "package"]);
  const integrity = `sha512-${createHash("sha512").update(readFileSync(tarball)).digest("base64")}`;
  const dist = { tarball: `${registry}/greeting-1.0.0.tgz`, integrity };
  const packument = {
    name: "greeting",
    "dist-tags": { latest: "1.0.0" },
    versions: { "1.0.0": { ...manifest, dist } },
  };
  writeFileSync(join(folder, "greeting"), JSON.stringify(packument));
}

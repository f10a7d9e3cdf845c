import assert from "node:assert/strict";
import { execFile } from "node:child_process";
import { copyFile, mkdir, mkdtemp, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { createServer } from "node:https";
import { isBuiltin } from "node:module";
import type { AddressInfo } from "node:net";
import { delimiter, dirname, join } from "node:path";
import { after, before, describe, it } from "node:test";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { buildPackage } from "../tools/build-package.ts";
import { type ScriptedApi, startScriptedApi, TOKEN } from "./scripted-api.ts";

const run = promisify(execFile);
/** Native helpers that the WebSocket library uses where somebody has installed them. */
const OPTIONAL = ["bufferutil", "utf-8-validate"];
const PACKAGE = fileURLToPath(new URL("..", import.meta.url));
const ROOT = fileURLToPath(new URL("../../..", import.meta.url));

/** This Node, and those on the PATH that are of another major version. */
async function nodes(): Promise<Map<string, string>> {
  const found = new Map([[process.version.replace(/\..*/, ""), process.execPath]]);
  for (const folder of (process.env.PATH ?? "").split(delimiter)) {
    const { stdout } = await run(join(folder, "node"), ["--version"]).catch(() => ({ stdout: "" }));
    const major = stdout.replace(/\..*\s*/s, "");
    if (Number(major.slice(1)) >= 20 && !found.has(major)) found.set(major, join(folder, "node"));
  }
  return found;
}

describe("the published package", async () => {
  let api: ScriptedApi;
  let folder: string;

  before(async () => {
    api = await startScriptedApi();
    folder = await mkdtemp("/tmp/mags-");
    const stage = join(folder, "stage");
    await buildPackage(join(stage, "dist"));
    for (const file of ["package.json", "README.md"]) await copyFile(join(PACKAGE, file), join(stage, file));
    const npm = { cwd: stage, env: { PATH: process.env.PATH, HOME: folder } };
    await run("npm", ["pack", "--ignore-scripts", "--pack-destination", folder], npm);
    await mkdir(join(folder, "app"));
    await writeFile(join(folder, "app", "package.json"), "{}");
    const { version } = JSON.parse(await readFile(join(PACKAGE, "package.json"), "utf8"));
    const archive = join(folder, `magpiecloud-mags-${version}.tgz`);
    await run("npm", ["install", "--offline", "--no-audit", "--no-fund", archive], {
      ...npm,
      cwd: join(folder, "app"),
    });
  });
  after(async () => {
    await api[Symbol.asyncDispose]();
    await rm(folder, { recursive: true, force: true });
  });

  async function runFile(node: string, name: string, text: string): Promise<string> {
    await writeFile(join(folder, "app", name), text);
    const env = { HOME: folder, MAGS_API_TOKEN: TOKEN, MAGS_API_URL: api.url };
    return (await run(node, [name], { cwd: join(folder, "app"), env })).stdout;
  }

  const use = 'new Mags().runAndWait("echo from the script").then((r) => console.log(r.exitCode, r.logs[0].message));';

  for (const [version, node] of await nodes()) {
    it(`can be required under Node ${version}: the class itself, with the rest on it`, async () => {
      const text = `const Mags = require("@magpiecloud/mags");
        const { Mags: named, default: fallback, MagsError } = Mags;
        if (named !== Mags || fallback !== Mags || !(new MagsError("x") instanceof Error)) throw new Error("exports");
        ${use}`;
      assert.equal(await runFile(node, "a.cjs", text), "0 from the script\n");
    });

    it(`can be imported under Node ${version}, by default and by name, as the class that require gives`, async () => {
      const text = `import Mags, { Mags as named, MagsError } from "@magpiecloud/mags";
        import { createRequire } from "node:module";
        const required = createRequire(import.meta.url)("@magpiecloud/mags");
        if (named !== Mags || required !== Mags || MagsError !== required.MagsError) throw new Error("exports");
        ${use}`;
      assert.equal(await runFile(node, "a.mjs", text), "0 from the script\n");
    });

    it(`has a command line that runs under Node ${version}`, async () => {
      const bin = join(folder, "app", "node_modules", ".bin");
      const env = { HOME: folder, MAGS_API_TOKEN: TOKEN, MAGS_API_URL: api.url };
      const PATH = [bin, dirname(node), "/usr/bin", "/bin"].join(delimiter);
      const { stdout } = await run("mags", ["run", "echo out"], { env: { ...env, PATH } });
      assert.equal(stdout, "out\n");
    });
  }

  it("speaks https, and trusts only certificates that this Node trusts", async () => {
    const [key, cert] = [join(folder, "key.pem"), join(folder, "cert.pem")];
    const request = "req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 1 -subj /CN=localhost";
    const names = "subjectAltName=DNS:localhost,IP:127.0.0.1";
    await run("openssl", [...request.split(" "), "-addext", names, "-keyout", key, "-out", cert]);
    const server = createServer({ key: await readFile(key), cert: await readFile(cert) }, (_, reply) =>
      reply.end('{"email":"a@b","role":"user"}'),
    );
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    try {
      const apiUrl = `https://127.0.0.1:${(server.address() as AddressInfo).port}`;
      const program = join(folder, "app", "node_modules", "@magpiecloud", "mags", "dist", "cli", "mags.js");
      const whoami = (env: Record<string, string>) =>
        run(process.execPath, [program, "whoami"], {
          env: { HOME: folder, MAGS_API_TOKEN: TOKEN, MAGS_API_URL: apiUrl, ...env },
        });
      assert.match((await whoami({ NODE_EXTRA_CA_CERTS: cert })).stdout, /a@b/);
      await assert.rejects(whoami({}), /cannot reach the Mags server at https:\S+: self-signed certificate/);
    } finally {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  });

  it("has types that a strict compiler takes, for both kinds of modules", async () => {
    const app = join(folder, "app");
    await mkdir(join(app, "node_modules", "@types"), { recursive: true });
    for (const name of ["@types/node", "undici-types"])
      await symlink(join(ROOT, "node_modules", name), join(app, "node_modules", name));
    await writeFile(
      join(app, "types.mts"),
      `import Mags, { DEFAULT_API_URL, MagsError, Mags as Named, type ExecResult, type RunOptions } from "@magpiecloud/mags";
       const mags: Mags = new Named({ apiUrl: DEFAULT_API_URL });
       const options: RunOptions = { environment: { A: "b" } };
       export const id: string = (await mags.run("x", options)).requestId;
       export const text: ExecResult<string> = await mags.exec("a", "b");
       export const bytes: ExecResult<Buffer> = await mags.exec("a", "b", { encoding: "buffer" });
       for await (const entry of mags.followLogs("a")) entry.message.trim();
       export const error: MagsError = new MagsError("x");
       // @ts-expect-error a script is a string
       mags.run(5);`,
    );
    await writeFile(
      join(app, "types.cts"),
      `import Mags = require("@magpiecloud/mags");
       const mags: Mags = new Mags();
       const options: Mags.RunOptions = { name: "a" };
       export const job: Promise<Mags.SubmittedJob> = mags.run("x", options);
       export const error: Mags.MagsError = new Mags.MagsError("x");
       // @ts-expect-error there is no such option
       mags.run("x", { nme: "a" });`,
    );
    const flags = "--strict --noEmit --module nodenext --target es2022 --types node";
    const compiler = join(ROOT, "node_modules", ".bin", "tsc");
    await run(compiler, [...flags.split(" "), "types.mts", "types.cts"], { cwd: app }).catch(({ stdout }) =>
      assert.fail(stdout),
    );
  });

  it("holds nothing but what is meant to be published, and needs no other package", async () => {
    const installed = join(folder, "app", "node_modules", "@magpiecloud", "mags");
    const { stdout } = await run("find", [installed, "-type", "f", "-printf", "%P\n"]);
    assert.deepEqual(stdout.trim().split("\n").sort(), [
      "README.md",
      "dist/cli/mags.js",
      "dist/cli/package.json",
      "dist/index.cjs",
      "dist/index.d.cts",
      "dist/index.d.ts",
      "dist/index.mjs",
      "package.json",
    ]);
    for (const file of ["dist/index.cjs", "dist/cli/mags.js"])
      for (const [, name = ""] of (await readFile(join(installed, file), "utf8")).matchAll(/require\("([^"]+)"\)/g))
        assert.ok(isBuiltin(name) || OPTIONAL.includes(name), name);
  });
});

/** What users do with URLs in tests: `mags`, curl, and a web server in each sandbox. */
import assert from "node:assert/strict";
import { mkdir, writeFile } from "node:fs/promises";
import { join, resolve } from "node:path";
import { build } from "esbuild";
import { run } from "./run.ts";
import type { TestServer } from "./server.ts";

const MAGS = resolve(import.meta.dirname, "../../packages/mags/dist/cli/mags.js");

/** Where it lies in a sandbox. */
const FILE = "site.mjs";
export const SITE_COMMAND = `exec node /root/${FILE}`;

export interface UrlUser {
  /** Runs a command line that must succeed. @returns what it prints */
  mags(...args: readonly string[]): Promise<string>;
  /** Runs lines of bash that must succeed, with `mags`. @returns what they print */
  shell(lines: string): Promise<string>;
  /** Makes a sandbox with the site of site-server.ts in it. @returns its address, which answers */
  open(name: string): Promise<string>;
}

/** @param folder  Empty, and the user's. */
export async function createUrlUser(server: TestServer, folder: string): Promise<UrlUser> {
  const site = join(folder, FILE);
  await build({
    entryPoints: [join(import.meta.dirname, "site-server.ts")],
    ...{ outfile: site, bundle: true, platform: "node", format: "esm", target: "node24", logLevel: "error" },
    // `ws` is CommonJS, and asks for modules of Node.
    banner: { js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url);' },
  });
  const bin = join(folder, "bin");
  await mkdir(bin);
  await writeFile(join(bin, "mags"), `#!/bin/sh\nexec '${process.execPath}' '${MAGS}' "$@"\n`, { mode: 0o755 });
  const env = {
    ...{ HOME: folder, PATH: `${bin}:${process.env.PATH}` },
    ...{ MAGS_API_URL: server.url, MAGS_API_TOKEN: server.token },
  };

  async function must(file: string, args: readonly string[]): Promise<string> {
    const { exitCode, text, errors } = await run(file, args, { env });
    assert.equal(exitCode, 0, `${file} ${args.join(" ")}: ${errors}${text}`);
    return text;
  }
  const mags = (...args: readonly string[]) => must("mags", args);
  return {
    mags,
    shell: (lines) => must("bash", ["-euc", lines]),
    open: async (name) =>
      urlIn(await mags("run", "-p", "-w", name, "--no-sync", "--url", "-f", site, `${SITE_COMMAND} ${name}`)),
  };
}

/** @returns the address in what `mags` prints */
export function urlIn(text: string): string {
  const url = /^URL: (\S+)$/m.exec(text)?.[1];
  assert.ok(url, text);
  return url;
}

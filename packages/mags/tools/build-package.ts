import { chmod, mkdir, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { build, type Plugin } from "esbuild";
import { declarations } from "./declarations.ts";

const source = (path: string) => fileURLToPath(new URL(`../src/${path}`, import.meta.url));

const OLDEST_NODE = "node20.3";

/**
 * Writes the published files into a folder, which it replaces: `cli/mags.js` with its chunks, the SDK as `index.cjs`,
 * `index.mjs` around it (one class, however it is loaded), and type declarations for both.
 */
export async function buildPackage(folder: string): Promise<void> {
  await rm(folder, { recursive: true, force: true });
  await mkdir(folder, { recursive: true });
  await Promise.all([buildCli(join(folder, "cli")), buildSdk(folder), writeDeclarations(folder)]);
}

async function buildCli(folder: string): Promise<void> {
  await build({
    entryPoints: [source("cli/mags.ts")],
    outdir: folder,
    chunkNames: "[name]-[hash]",
    platform: "node",
    target: OLDEST_NODE,
    format: "esm",
    bundle: true,
    splitting: true,
    minify: true,
    keepNames: true,
    legalComments: "none",
    logLevel: "warning",
    // Commander is CommonJS and asks for Node's modules by `require`.
    banner: {
      js: 'import{createRequire as __createRequire}from"node:module";const require=__createRequire(import.meta.url);',
    },
    plugins: [requireHttp],
  });
  await chmod(join(folder, "mags.js"), 0o755);
}

/**
 * `import "node:http"` reads every export of the module once, also the one behind which Node keeps its `fetch`, and
 * that costs 30 ms at each start. `require` does not.
 */
const requireHttp: Plugin = {
  name: "require-http",
  setup({ onResolve, onLoad }) {
    onResolve({ filter: /^node:http$/ }, ({ path, namespace }) =>
      namespace === "require-http" ? { path, external: true } : { path, namespace: "require-http" },
    );
    onLoad({ filter: /.*/, namespace: "require-http" }, ({ path }) => ({
      contents: `module.exports = require(${JSON.stringify(path)});`,
      loader: "js",
    }));
  },
};

async function buildSdk(folder: string): Promise<void> {
  await build({
    entryPoints: [source("sdk/index.ts")],
    outfile: join(folder, "index.cjs"),
    platform: "node",
    target: OLDEST_NODE,
    format: "cjs",
    bundle: true,
    logLevel: "warning",
    // `require` gives the class itself, with everything else on it.
    footer: {
      js: "const { Mags: sdk, ...exported } = module.exports;\nmodule.exports = Object.assign(sdk, exported, { Mags: sdk, default: sdk });",
    },
  });
  await writeFile(
    join(folder, "index.mjs"),
    [
      'import Mags from "./index.cjs";',
      "export const { MagsError, DEFAULT_API_URL } = Mags;",
      "export { Mags, Mags as default };",
      "",
    ].join("\n"),
  );
}

async function writeDeclarations(folder: string): Promise<void> {
  const texts = await declarations(source("sdk"));
  for (const [name, text] of Object.entries(texts)) await writeFile(join(folder, name), text);
}

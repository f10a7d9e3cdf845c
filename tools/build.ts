/** Bundles what is installed: `dist/magsd.mjs`, the server in one file, `dist/gateway.mjs`, that of its gateway, and the npm package in `packages/mags/dist`. */
import { execFileSync } from "node:child_process";
import { resolve } from "node:path";
import { build } from "esbuild";

const ROOT = resolve(import.meta.dirname, "..");

await build({
  absWorkingDir: ROOT,
  entryPoints: { magsd: "apps/magsd/src/main.ts", gateway: "apps/magsd/src/gateway/gateway-program.ts" },
  outdir: "dist",
  outExtension: { ".js": ".mjs" },
  bundle: true,
  platform: "node",
  target: "node24",
  format: "esm",
  sourcemap: "linked",
  legalComments: "external",
  logLevel: "warning",
  // An optional native driver that pg looks for, and native parts of ssh2, which does without.
  external: ["pg-native", "*.node"],
  // CommonJS packages in an ESM bundle still use these.
  banner: {
    js: 'import { createRequire } from "node:module"; const require = createRequire(import.meta.url), __dirname = import.meta.dirname, __filename = import.meta.filename;',
  },
});

execFileSync("npm", ["run", "--silent", "build", "-w", "@magpiecloud/mags"], { cwd: ROOT, stdio: "inherit" });

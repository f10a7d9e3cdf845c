/** Builds the files that are published. `node tools/build.ts [folder]`; default: `dist` of this package. */
import { fileURLToPath } from "node:url";
import { buildPackage } from "./build-package.ts";

await buildPackage(process.argv[2] ?? fileURLToPath(new URL("../dist", import.meta.url)));

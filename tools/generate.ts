/** Writes what is generated from the schemas and checked in. A test fails when it is not up to date. */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { openApiText } from "./openapi-text.ts";

await writeFile(fileURLToPath(new URL("../docs/openapi.json", import.meta.url)), openApiText());

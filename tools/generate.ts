/** Writes what is generated from the schemas and checked in. A test fails when it is not up to date. */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { configurationText } from "../apps/magsd/src/configuration-text.ts";
import { openApiText } from "./openapi-text.ts";

const document = (name: string) => fileURLToPath(new URL(`../docs/${name}`, import.meta.url));

await writeFile(document("openapi.json"), openApiText());
await writeFile(document("configuration.md"), configurationText());

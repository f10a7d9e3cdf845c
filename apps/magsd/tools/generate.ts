/** Writes docs/configuration.md. A test fails when it is not up to date. */
import { writeFile } from "node:fs/promises";
import { fileURLToPath } from "node:url";
import { configurationText } from "../src/configuration-text.ts";

await writeFile(fileURLToPath(new URL("../../../docs/configuration.md", import.meta.url)), configurationText());

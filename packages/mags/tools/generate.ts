import { writeFileSync } from "node:fs";
import { wireTypes } from "./wire-types.ts";

writeFileSync(new URL("../src/sdk/wire.generated.ts", import.meta.url), wireTypes());

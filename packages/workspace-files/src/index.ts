export { type TarShape, tarOf } from "./tar-of.ts";
export { openUpperLayer } from "./upper-layer.ts";

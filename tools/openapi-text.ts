import { buildOpenApiDocument } from "@mags/api-schema";

/** The content of `docs/openapi.json`. */
export function openApiText(): string {
  const document = {
    ...buildOpenApiDocument(),
    "x-generated": "by npm run generate: change packages/api-schema instead",
  };
  return `${JSON.stringify(document, null, 2)}\n`;
}

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { buildOpenApiDocument } from "./openapi.ts";
import type { RouteDefinition } from "./route.ts";
import { ROUTES } from "./routes.ts";

type Json = Record<string, unknown>;
const document = buildOpenApiDocument() as { paths: Record<string, Record<string, Json>>; components: Json };

function references(value: unknown): string[] {
  if (typeof value !== "object" || value === null) return [];
  return Object.entries(value).flatMap(([key, child]) =>
    key === "$ref" && typeof child === "string" ? [child] : references(child),
  );
}

function resolve(reference: string): unknown {
  return reference
    .replace("#/", "")
    .split("/")
    .reduce<unknown>((at, part) => (at as Json | undefined)?.[part], document);
}

describe("buildOpenApiDocument", () => {
  it("describes every route, its path parameters, its answers and its errors", () => {
    for (const [name, definition] of Object.entries(ROUTES)) {
      const route: RouteDefinition = definition;
      const operation = document.paths[`/api/v1${route.path}`]?.[route.method.toLowerCase()];
      assert.equal(operation?.operationId, name);
      const parameters = (operation?.parameters ?? []) as { name: string; in: string }[];
      const inPath = [...route.path.matchAll(/\{(\w+)\}/g)].map((match) => match[1]);
      assert.deepEqual(
        parameters.filter((parameter) => parameter.in === "path").map((parameter) => parameter.name),
        inPath,
        name,
      );
      const statuses = Object.keys(operation?.responses as Json);
      for (const status of [...Object.keys(route.responses), "400", "401", "500", "503"])
        assert.ok(statuses.includes(status), `${name} documents ${status}`);
    }
  });

  it("refers only to what it contains, and no component is a reference to itself", () => {
    const all = references(document);
    assert.ok(all.length > 0);
    for (const reference of all) {
      const target = resolve(reference) as Json | undefined;
      assert.ok(target, reference);
      assert.notEqual(target.$ref, reference);
    }
  });
});

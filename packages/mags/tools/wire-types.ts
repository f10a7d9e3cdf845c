/**
 * Writes the wire types of the SDK as plain TypeScript, from the schemas of the API. The SDK is published without the
 * schema package (and without zod), so its types must stand alone.
 */
import { ROUTES } from "@mags/api-schema";
import { z } from "zod";

interface JsonSchema {
  readonly $ref?: string;
  readonly type?: string | readonly string[];
  readonly enum?: readonly unknown[];
  readonly const?: unknown;
  readonly anyOf?: readonly JsonSchema[];
  readonly description?: string;
  readonly properties?: Readonly<Record<string, JsonSchema>>;
  readonly required?: readonly string[];
  readonly items?: JsonSchema;
  readonly additionalProperties?: JsonSchema | boolean;
}

const HEADER = `/**
 * Generated from the schemas of the REST API by \`npm run generate\`; do not edit.
 * Objects as they are on the wire: snake_case keys, times in RFC 3339, UTC.
 */
`;

/** @returns the text of `src/sdk/wire.generated.ts`: one type for each named schema that a route uses. */
export function wireTypes(): string {
  const { schemas } = z.toJSONSchema(z.globalRegistry, { io: "input" }) as { schemas: Record<string, JsonSchema> };
  const names = reachable(schemas, [
    ...Object.values(ROUTES).flatMap((route) => [
      ...("body" in route ? [route.body] : []),
      ...Object.values(route.responses).filter((schema) => schema !== null),
    ]),
  ]);
  return [HEADER, ...names.map((name) => declarationOf(name, schemas[name] ?? {}))].join("\n");
}

function declarationOf(name: string, schema: JsonSchema): string {
  return schema.properties
    ? `export interface ${name} ${typeOf(schema, "")}\n`
    : `export type ${name} = ${typeOf(schema, "")};\n`;
}

function reachable(schemas: Readonly<Record<string, JsonSchema>>, roots: readonly z.ZodType[]): string[] {
  const found = new Set<string>();
  const visit = (name: string) => {
    if (found.has(name)) return;
    found.add(name);
    for (const [, ref] of JSON.stringify(schemas[name]).matchAll(/"\$ref":"([^"]+)"/g)) visit(ref ?? "");
  };
  for (const root of roots) {
    const id = z.globalRegistry.get(root)?.id;
    if (id === undefined) throw new Error("every body and reply of a route needs a name: add .meta({ id })");
    visit(id);
  }
  return Object.keys(schemas).filter((name) => found.has(name));
}

function typeOf(schema: JsonSchema, indent: string): string {
  if (schema.$ref !== undefined) return schema.$ref;
  if (schema.const !== undefined) return JSON.stringify(schema.const);
  if (schema.enum) return schema.enum.map((value) => JSON.stringify(value)).join(" | ");
  if (schema.anyOf) return schema.anyOf.map((option) => typeOf(option, indent)).join(" | ");
  const { type } = schema;
  if (typeof type === "object") return type.map((one) => typeOf({ ...schema, type: one }, indent)).join(" | ");
  switch (type) {
    case "string":
    case "boolean":
    case "null":
      return type;
    case "integer":
    case "number":
      return "number";
    case "array":
      return `${parenthesized(typeOf(schema.items ?? {}, indent))}[]`;
    case "object":
      return schema.properties ? objectType(schema, indent) : `Record<string, ${recordValue(schema, indent)}>`;
    case undefined:
      return "unknown";
    default:
      throw new Error(`no TypeScript is known for JSON Schema type ${type}: teach tools/wire-types.ts`);
  }
}

function objectType(schema: JsonSchema, indent: string): string {
  const inner = `${indent}  `;
  const lines = Object.entries(schema.properties ?? {}).map(([key, property]) => {
    const comment = property.description === undefined ? "" : `${inner}/** ${property.description} */\n`;
    const optional = schema.required?.includes(key) ? "" : "?";
    return `${comment}${inner}${key}${optional}: ${typeOf(property, inner)};\n`;
  });
  return `{\n${lines.join("")}${indent}}`;
}

function recordValue({ additionalProperties: values }: JsonSchema, indent: string): string {
  return typeof values === "object" ? typeOf(values, indent) : "unknown";
}

function parenthesized(type: string): string {
  return type.includes(" | ") ? `(${type})` : type;
}

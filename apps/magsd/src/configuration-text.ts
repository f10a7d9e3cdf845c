/** docs/configuration.md, from the schema of the server's configuration. */
import { z } from "zod";
import { ServerConfig } from "./config.ts";

interface Node {
  readonly type?: string;
  readonly description?: string;
  readonly default?: unknown;
  readonly properties?: Readonly<Record<string, Node>>;
  readonly items?: Node;
  readonly enum?: readonly unknown[];
  readonly minimum?: number;
  readonly maximum?: number;
  readonly pattern?: string;
  readonly anyOf?: readonly Node[];
  readonly additionalProperties?: unknown;
}

const HEADER = `# Configuration

One JSON file, \`/etc/mags/magsd.json\` or the one given by \`--config\`. Every key may be left out; unknown keys are refused. \`magsd start\` reads it. Generated from the schema: \`npm run generate\`.

| key | type | default | |
|---|---|---|---|
`;

function typeOf(node: Node): string {
  if (node.enum) return node.enum.map((value) => `\`${value}\``).join(", ");
  if (node.type === "array") return `list of ${node.items?.properties ? "objects" : typeOf(node.items ?? {})}`;
  if (node.type === "object") return "object of texts";
  if (node.anyOf) return "text";
  const words =
    { string: "text", integer: "integer", number: "number", boolean: "true or false" }[node.type ?? ""] ?? "text";
  const most =
    node.maximum !== undefined && node.maximum < Number.MAX_SAFE_INTEGER
      ? ` to ${node.maximum}`
      : node.minimum !== undefined
        ? " or more"
        : "";
  return node.minimum !== undefined && node.minimum > Number.MIN_SAFE_INTEGER
    ? `${words}, ${node.minimum}${most}`
    : words;
}

function rowsOf(node: Node, path: string): string[] {
  return Object.entries(node.properties ?? {}).flatMap(([name, child]) => {
    const key = path ? `${path}.${name}` : name;
    if (child.properties) return rowsOf(child, key);
    const keys = child.anyOf?.find(({ properties }) => properties);
    if (keys) return [`| \`${key}\` | null, or the keys below |  | ${child.description ?? ""} |`, ...rowsOf(keys, key)];
    const value = child.default === undefined ? "" : `\`${JSON.stringify(child.default)}\``;
    const row = `| \`${key}\` | ${typeOf(child)} | ${value} | ${child.description ?? ""} |`;
    const item = child.items?.properties ? rowsOf(child.items, `${key}[]`) : [];
    return [row, ...item];
  });
}

export function configurationText(): string {
  const schema = z.toJSONSchema(ServerConfig, { io: "input", unrepresentable: "any" }) as Node;
  return `${HEADER}${rowsOf(schema, "").join("\n")}\n`;
}

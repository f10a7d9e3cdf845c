/** What QEMU says over its machine protocol, decoded from a line that may hold anything. */
import { foreignText } from "../foreign-text.ts";

export interface QmpEvent {
  readonly event: string;
  readonly data: Readonly<Record<string, unknown>>;
}

export type QmpMessage =
  | { readonly kind: "greeting" }
  | ({ readonly kind: "event" } & QmpEvent)
  | { readonly kind: "reply"; readonly id: number; readonly value: unknown }
  | { readonly kind: "refusal"; readonly id: number; readonly description: string };

const MAX_DESCRIPTION = 500;

type Fields = Readonly<Record<string, unknown>>;

function isObject(value: unknown): value is Fields {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** @throws Error that says what is wrong with it. */
export function decodeQmpMessage(line: string): QmpMessage {
  const message = parse(line);
  if (!isObject(message)) throw new Error("a line that is no object");
  if ("QMP" in message) return { kind: "greeting" };
  if ("event" in message) {
    const { event, data = {} } = message;
    if (typeof event !== "string" || !isObject(data)) throw new Error("an event without name or with odd data");
    return { kind: "event", event, data };
  }
  const { id } = message;
  if (typeof id !== "number") throw new Error("an answer without a number");
  if ("return" in message) return { kind: "reply", id, value: message.return };
  if (!isObject(message.error) || typeof message.error.desc !== "string") throw new Error("an answer of no known form");
  return { kind: "refusal", id, description: foreignText(message.error.desc, MAX_DESCRIPTION) };
}

function parse(line: string): unknown {
  try {
    return JSON.parse(line);
  } catch {
    throw new Error("a line that is not JSON"); // the parser's own message quotes the line
  }
}

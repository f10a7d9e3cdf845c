/** The vectors of the page, and their fields in the terms of the code. */
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { createFieldWriter } from "../../src/agent/fields.ts";
import { TAG } from "../../src/agent/wire.ts";

export interface VectorField {
  readonly tag: string | number;
  readonly u8?: number;
  readonly u16?: number;
  readonly u32?: number;
  readonly u64?: string;
  readonly text?: string;
  readonly hex?: string;
  readonly fields?: readonly VectorField[];
}

export interface VectorData {
  readonly channel: number;
  readonly fin: boolean;
  readonly ageMs: number;
  readonly seq: number;
  readonly offset: number;
  readonly bytes: string;
}

export interface FrameVector {
  readonly name: string;
  readonly hex: string;
  readonly type: number;
  readonly flags: number;
  readonly id: number;
  readonly fields?: readonly VectorField[];
  readonly data?: VectorData;
}

export interface Vectors {
  readonly frames: readonly FrameVector[];
  readonly payloads: readonly { readonly name: string; readonly hex: string }[];
  readonly malformed: readonly { readonly name: string; readonly hex: string; readonly host: string }[];
  readonly resync: readonly { readonly name: string; readonly hex: string; readonly frames: readonly string[] }[];
}

export function readVectors(): Vectors {
  const path = resolve(import.meta.dirname, "../../../../docs/formats/agent-protocol.vectors.json");
  return JSON.parse(readFileSync(path, "utf8"));
}

/** `VERSION_MIN` → 2 */
export function tagNumber(tag: string | number): number {
  if (typeof tag === "number") return tag;
  const name = tag.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase());
  const number = TAG[name as keyof typeof TAG];
  if (number === undefined) throw new Error(`no tag ${tag}`);
  return number;
}

export function encodeFields(fields: readonly VectorField[]): Buffer {
  const writer = createFieldWriter();
  for (const field of fields) {
    const tag = tagNumber(field.tag);
    if (field.u8 !== undefined) writer.u8(tag, field.u8);
    else if (field.u16 !== undefined) writer.u16(tag, field.u16);
    else if (field.u32 !== undefined) writer.u32(tag, field.u32);
    else if (field.u64 !== undefined) writer.u64(tag, BigInt(field.u64));
    else if (field.text !== undefined) writer.bytes(tag, field.text);
    else if (field.fields !== undefined) writer.bytes(tag, encodeFields(field.fields));
    else writer.bytes(tag, Buffer.from(field.hex ?? "", "hex"));
  }
  return writer.finish();
}

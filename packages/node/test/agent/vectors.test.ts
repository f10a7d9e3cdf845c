import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { resolve } from "node:path";
import { before, describe, it } from "node:test";
import { decodeData, encodeData } from "../../src/agent/data.ts";
import { readFields } from "../../src/agent/fields.ts";
import { createFrameDecoder, encodeFrame, type Frame } from "../../src/agent/frame.ts";
import { ProtocolViolation } from "../../src/agent/violation.ts";
import { TAG, TYPE } from "../../src/agent/wire.ts";
import { built, make } from "./host-agent.ts";
import { encodeFields, type FrameVector, readVectors, tagNumber, type VectorField } from "./vectors.ts";

const vectors = readVectors();

function decodeAll(bytes: Buffer): Frame[] {
  const frames: Frame[] = [];
  createFrameDecoder().push(bytes, (frame) => frames.push(frame));
  return frames;
}

function valueHex(field: VectorField): string {
  return encodeFields([field]).subarray(6).toString("hex");
}

/** What the probe prints for a frame. */
function probeLine({ type, flags, id, fields, data, hex }: FrameVector): string {
  const content = data
    ? ` channel=${data.channel} fin=${data.fin ? 1 : 0} age=${data.ageMs} seq=${data.seq} offset=${data.offset} bytes=${data.bytes}`
    : (fields ?? []).map((field) => ` ${tagNumber(field.tag)}=${valueHex(field)}`).join("");
  return `${type} ${flags} ${id}${content} = ${hex}`;
}

describe("the host's code", () => {
  for (const vector of vectors.frames) {
    const bytes = Buffer.from(vector.hex, "hex");

    it(`decodes: ${vector.name}`, () => {
      const [frame, ...others] = decodeAll(bytes);
      assert.ok(frame);
      assert.deepEqual(others, []);
      assert.deepEqual([frame.type, frame.flags, frame.id], [vector.type, vector.flags, vector.id]);
      if (vector.data) {
        const { bytes: content, ...header } = decodeData(frame.payload);
        assert.deepEqual({ ...header, bytes: content.toString("hex") }, vector.data);
      } else {
        const reader = readFields(frame.payload);
        for (const field of vector.fields ?? []) {
          const values = reader.all(tagNumber(field.tag), 100).map((value) => value.toString("hex"));
          assert.ok(values.includes(valueHex(field)), `${field.tag} is not among ${values}`);
        }
      }
    });

    it(`encodes: ${vector.name}`, () => {
      const { type, flags, id, fields, data } = vector;
      const encoded = data
        ? Buffer.concat(encodeData(id, data, Buffer.from(data.bytes, "hex")))
        : encodeFrame({ type, flags, id, payload: encodeFields(fields ?? []) });
      assert.equal(encoded.toString("hex"), vector.hex);
    });
  }

  for (const { name, hex } of vectors.payloads) {
    it(`refuses a payload: ${name}`, () => {
      const [frame] = decodeAll(Buffer.from(hex, "hex"));
      assert.ok(frame);
      assert.throws(
        () => (frame.type === TYPE.data ? decodeData(frame.payload) : readFields(frame.payload)),
        ProtocolViolation,
      );
    });
  }

  for (const { name, hex, host } of vectors.malformed) {
    it(`refuses a frame: ${name}`, () => {
      assert.throws(
        () => decodeAll(Buffer.from(hex, "hex")),
        (error) => error instanceof ProtocolViolation && error.message.includes(host),
      );
    });
  }
});

describe("the agent's code", () => {
  let printed: string[][] = [];
  const inputs = [...vectors.frames, ...vectors.payloads, ...vectors.malformed, ...vectors.resync];
  const printedFor = (name: string) => printed[inputs.findIndex((input) => input.name === name)];

  before(async () => {
    await make("probe");
    const output = execFileSync(built("probe"), { input: inputs.map(({ hex }) => hex).join("\n"), encoding: "utf8" });
    printed = output.split(/^\.\n/m).map((block) => block.split("\n").slice(0, -1));
  });

  for (const vector of vectors.frames) {
    it(`decodes and encodes: ${vector.name}`, () => {
      assert.deepEqual(printedFor(vector.name), [probeLine(vector)]);
    });
  }

  for (const { name } of vectors.payloads) {
    it(`refuses a payload: ${name}`, () => {
      assert.deepEqual(printedFor(name)?.length, 1);
      assert.match(printedFor(name)?.[0] ?? "", / malformed$/);
    });
  }

  for (const { name } of vectors.malformed) {
    it(`drops: ${name}`, () => {
      assert.deepEqual(printedFor(name), []);
    });
  }

  for (const { name, frames } of vectors.resync) {
    it(`goes on after: ${name}`, () => {
      assert.deepEqual(
        printedFor(name)?.map((line) => line.split(" = ")[1]),
        frames,
      );
    });
  }
});

describe("the page of the protocol", () => {
  it("lists the tags with the numbers of the code", () => {
    const page = readFileSync(resolve(import.meta.dirname, "../../../../docs/formats/agent-protocol.md"), "utf8");
    const section = page.slice(page.indexOf("\n## Tags"), page.indexOf("\n## Limits"));
    const listed = [...section.matchAll(/\| (\d+) \| ([A-Z_]+) (?=\|)/g)].map(([, number, name]) => [
      name,
      Number(number),
    ]);
    assert.equal(listed.length, Object.keys(TAG).length);
    for (const [name, number] of listed) assert.equal(tagNumber(name ?? ""), number, String(name));
  });
});

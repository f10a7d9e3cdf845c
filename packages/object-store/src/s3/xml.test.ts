import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createSeededRandom, type SeededRandom, seedFrom } from "@mags/test-kit";
import { readListing } from "./listing.ts";
import { parseXml, textOf, type XmlElement } from "./xml.ts";

const LISTING = `<?xml version="1.0" encoding="UTF-8"?>
<ListBucketResult xmlns="http://s3.amazonaws.com/doc/2006-03-01/"><Name>bucket</Name><Prefix/>
  <IsTruncated>true</IsTruncated><NextContinuationToken>a&amp;b</NextContinuationToken><EncodingType>url</EncodingType>
  <Contents><Key>a%20b+c%2Bd</Key><LastModified>2026-01-02T03:04:05.678Z</LastModified><Size>12</Size></Contents>
  <Contents><Key>e</Key><LastModified>2026-01-02T03:04:05Z</LastModified><Size>0</Size><Owner><ID>x</ID></Owner></Contents>
</ListBucketResult>
`;

describe("parseXml", () => {
  it("gives names, texts and what is in them", () => {
    const root = parseXml(
      "\uFEFF<?xml version='1.0'?>\n<a x=\"1\" y = '2'>1<b/>2<c>&lt;&gt;&amp;&quot;&apos;&#65;&#x1F600;</c ></a>\n",
    );
    assert.equal(root.name, "a");
    assert.equal(root.text, "12");
    assert.deepEqual(
      root.children.map(({ name }) => name),
      ["b", "c"],
    );
    assert.equal(textOf(root, "c"), "<>&\"'A😀");
    assert.equal(textOf(root, "d"), undefined);
  });

  it("refuses what no answer needs, and what is no XML", () => {
    const deep = "<a>".repeat(20) + "</a>".repeat(20);
    for (const text of [
      ...["", "text", "<a>", "<a></b>", "</a>", "<a/><b/>", "<a/>text", "text<a/>", "<a", "<a b>", "<a b=c/>", "< a/>"],
      ...['<!DOCTYPE a [<!ENTITY b "c">]><a>&b;</a>', "<a>&b;</a>", "<a>&</a>", "<a>&#0;</a>", "<a>&#x110000;</a>"],
      ...["<a><!-- b --></a>", "<a><![CDATA[b]]></a>", "<a><?b?></a>", '<a b="<"/>', deep, "<html><br></html>"],
    ])
      assert.throws(() => parseXml(text), Error, text);
  });

  it("gives back what was written, and ends on anything else", () => {
    const seed = seedFrom(process.env.MAGS_SEED);
    const random = createSeededRandom(seed);
    for (let turn = 0; turn < 300; turn++) {
      const tree = randomTree(random, 4);
      const text = written(tree);
      assert.deepEqual(parseXml(text), tree, `MAGS_SEED=${seed}`);
      for (const parse of [parseXml, (damaged: string) => readListing(Buffer.from(damaged))])
        try {
          parse(damagedCopy(random, random.chance(0.5) ? text : LISTING));
        } catch (error) {
          assert.ok(error instanceof Error && !(error instanceof RangeError), `MAGS_SEED=${seed}`);
        }
    }
  });

  it("takes no longer than the text is long", () => {
    for (const text of [
      "<a ".repeat(300_000),
      `<a ${'b="c" '.repeat(200_000)}`,
      "&".repeat(1_000_000),
      `<a>${"&amp;".repeat(300_000)}`,
    ]) {
      const from = performance.now();
      assert.throws(() => parseXml(text));
      assert.ok(performance.now() - from < 5_000, text.slice(0, 10));
    }
  });
});

describe("readListing", () => {
  it("reads keys, sizes, times and what asks for the next page", () => {
    assert.deepEqual(readListing(Buffer.from(LISTING)), {
      objects: [
        { key: "a b c+d", sizeBytes: 12, modifiedAt: new Date("2026-01-02T03:04:05.678Z") },
        { key: "e", sizeBytes: 0, modifiedAt: new Date("2026-01-02T03:04:05Z") },
      ],
      next: "a&b",
    });
    const plain = LISTING.replace("<EncodingType>url</EncodingType>", "").replace(">true<", ">false<");
    assert.equal(readListing(Buffer.from(plain)).objects[0]?.key, "a%20b+c%2Bd");
    assert.equal(readListing(Buffer.from(plain)).next, undefined);
  });

  it("refuses a listing that lacks something", () => {
    for (const [from, to] of [
      ["<Size>12</Size>", ""],
      ["<Size>12</Size>", "<Size>twelve</Size>"],
      ["2026-01-02T03:04:05Z", "yesterday"],
      ["<Key>e</Key>", "<Key/>"],
      ["a%20b", "a%2"],
      ["<NextContinuationToken>a&amp;b</NextContinuationToken>", ""],
      ["ListBucketResult", "Error"],
    ] as const)
      assert.throws(() => readListing(Buffer.from(LISTING.replaceAll(from, to))), Error, to);
    assert.throws(() => readListing(Buffer.from([0x3c, 0x61, 0x2f, 0xff, 0x3e])));
  });
});

function randomTree(random: SeededRandom, depth: number): XmlElement {
  const children = Array.from({ length: depth > 0 ? random.between(0, 3) : 0 }, () => randomTree(random, depth - 1));
  const text = Array.from({ length: random.between(0, 5) }, () => random.pick([..."ab<>&\"' é😀"])).join("");
  return { name: random.pick(["Key", "Contents", "x:y", "_a-1"]), text, children };
}

function written({ name, text, children }: XmlElement): string {
  const escaped = text.replace(/[<>&"']/g, (sign) => `&#${sign.charCodeAt(0)};`);
  return `<${name} a="b">${escaped}${children.map(written).join("")}</${name}>`;
}

function damagedCopy(random: SeededRandom, text: string): string {
  const from = random.between(0, text.length);
  const piece = random.pick(["", "<", ">", "&", "/>", "</", "<Contents>", "\u0000", "%", text.slice(0, from)]);
  return text.slice(0, from) + piece + text.slice(from + random.between(0, 9));
}

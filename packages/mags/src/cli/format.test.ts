import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { age, bytes, duration, writeFields, writeTable } from "./format.ts";

describe("duration", () => {
  it("shows two parts at most", () => {
    const cases = { 0: "0ms", 999: "999ms", 1000: "1.0s", 59949: "59.9s", 59950: "1m00s", 185000: "3m05s" };
    for (const [ms, text] of Object.entries(cases)) assert.equal(duration(Number(ms)), text);
    assert.equal(duration(3_599_600), "1h00m");
    assert.equal(duration(26 * 3_600_000), "26h00m");
  });
});

describe("age", () => {
  it("shows the largest unit, and nothing below zero", () => {
    const now = Date.parse("2026-01-10T00:00:00Z");
    assert.equal(age("2026-01-09T23:59:01Z", now), "59s");
    assert.equal(age("2026-01-09T23:59:00Z", now), "1m");
    assert.equal(age("2026-01-09T21:00:00Z", now), "3h");
    assert.equal(age("2026-01-01T00:00:00Z", now), "9d");
    assert.equal(age("2026-01-10T00:00:05Z", now), "0s");
  });
});

describe("bytes", () => {
  it("has one unit and no more digits than say something", () => {
    const cases = [
      [0, "0 B"],
      [1023, "1023 B"],
      [1536, "1.5 KiB"],
      [12 * 1024 ** 2, "12 MiB"],
      [3 * 1024 ** 3, "3.0 GiB"],
      [5000 * 1024 ** 4, "5000 TiB"],
    ] as const;
    for (const [count, text] of cases) assert.equal(bytes(count), text);
  });
});

describe("writeTable", () => {
  it("aligns columns, coloured cells too", () => {
    const rows = [
      ["A", "B", "C"],
      ["long", "\u001b[31mred\u001b[39m", "x"],
      ["s", "longer", ""],
    ];
    assert.equal(writeTable(rows), "A     B       C\nlong  \u001b[31mred\u001b[39m     x\ns     longer");
  });
});

describe("writeFields", () => {
  it("leaves out what is not known", () => {
    assert.equal(
      writeFields([
        ["ID", "x"],
        ["Exit code", 0],
        ["VM", undefined],
      ]),
      "ID:        x\nExit code: 0",
    );
  });
});

import assert from "node:assert/strict";
import { appendFile, mkdtemp, rm, stat } from "node:fs/promises";
import { join } from "node:path";
import { afterEach, beforeEach, describe, it } from "node:test";
import { systemClock } from "@mags/core";
import { type JobId, type LogRecord, type LogTail, newJobId } from "@mags/domain";
import { createLogStore, type LogStore } from "./log-store.ts";
import type { LogWriter } from "./log-writer.ts";

const MAX = 100_000;
let directory: string;
let store: LogStore;
let jobId: JobId;

beforeEach(async () => {
  directory = await mkdtemp("/tmp/mags-log-");
  store = createLogStore(directory, { clock: systemClock }, { maxBytesPerJob: MAX });
  jobId = newJobId();
});
afterEach(() => rm(directory, { recursive: true }));

const silent = { onDurable: () => {}, onFirst: () => {}, onLimit: () => {} };
const pathOf = () => join(directory, jobId.slice(0, 2), `${jobId}.log`);

async function readAll(tail: LogTail): Promise<LogRecord[]> {
  const all: LogRecord[] = [];
  for (let records = await tail.read(1); records.length > 0; records = await tail.read(all.length + 1))
    all.push(...records);
  return all;
}

async function write(writer: LogWriter, texts: readonly string[]): Promise<void> {
  for (const text of texts) writer.append({ source: "stdout", seq: writer.nextSeq, atMs: 5, bytes: Buffer.from(text) });
}

describe("log store", () => {
  it("gives a reader that came first every record, and tells it when there will be no more", async () => {
    store.announce(jobId);
    const changed: (() => void)[] = [];
    const tail = await store.openTail(jobId, () => changed.shift()?.());
    assert.deepEqual(await tail.read(1), []);
    assert.equal(tail.ended(), false);
    const change = () => new Promise<void>((resolve) => changed.push(resolve));
    const written = change();
    const writer = await store.openWriter(jobId, silent);
    await write(writer, ["one", "two"]);
    await written;
    const records = await tail.read(1);
    assert.deepEqual(
      records.map((record) => [record.index, record.bytes.toString()]),
      [
        [1, "one"],
        [2, "two"],
      ],
    );
    await writer.end();
    store.close(jobId);
    assert.deepEqual(await tail.read(3), []);
    assert.equal(tail.ended(), true);
    await tail.close();
    await writer[Symbol.asyncDispose]();
  });

  it("reports records as durable only up to what was synced, in order", async () => {
    const durable: number[] = [];
    const writer = await store.openWriter(jobId, { ...silent, onDurable: (seq) => durable.push(seq) });
    await write(
      writer,
      Array.from({ length: 50 }, (_, n) => `line ${n}\n`),
    );
    await writer.end();
    assert.equal(durable.at(-1), 50);
    assert.deepEqual(
      durable,
      [...durable].sort((a, b) => a - b),
    );
    await writer[Symbol.asyncDispose]();
  });

  it("cuts off a torn record and goes on behind the last whole one", async () => {
    const first = await store.openWriter(jobId, silent);
    await write(first, ["kept"]);
    await first.end().catch(() => {});
    await first[Symbol.asyncDispose]();
    const size = (await stat(pathOf())).size;
    await appendFile(pathOf(), Buffer.from("torn record"));
    const second = await store.openWriter(jobId, silent);
    assert.equal(second.nextSeq, 1);
    assert.equal((await stat(pathOf())).size, size);
    await write(second, ["more"]);
    await second.end();
    await second[Symbol.asyncDispose]();
    store.close(jobId);
    const tail = await store.openTail(jobId, () => {});
    assert.deepEqual(
      (await readAll(tail)).map((record) => record.bytes.toString()),
      ["kept", "more"],
    );
    await tail.close();
  });

  it("keeps output up to the limit, says so in the output, and drops the rest but tells the guest that it may forget it", async () => {
    let durable = 0;
    let limits = 0;
    const writer = await store.openWriter(jobId, {
      ...silent,
      onDurable: (seq) => (durable = seq),
      onLimit: () => limits++,
    });
    const piece = "x".repeat(30_000);
    await write(writer, [piece, piece, piece, piece, piece]);
    await writer.end();
    assert.equal(durable, 5);
    assert.equal(limits, 1);
    await writer[Symbol.asyncDispose]();
    const again = await store.openWriter(jobId, silent);
    assert.ok(again.nextSeq < 5);
    assert.equal(again.resumeAt(5), 5);
    await write(again, ["still dropped"]);
    await again.end();
    await again[Symbol.asyncDispose]();
    store.close(jobId);
    const tail = await store.openTail(jobId, () => {});
    const records = await readAll(tail);
    const stdout = records.filter((record) => record.source === "stdout");
    assert.equal(Buffer.concat(stdout.map((record) => record.bytes)).length, MAX);
    assert.match(records.at(-1)?.bytes.toString() ?? "", /limit of 100000 bytes/);
    assert.equal(records.at(-1)?.source, "system");
    await tail.close();
  });

  it("keeps a file of no more than twice the limit, however small the pieces of output are, also when it is taken up again", async () => {
    const pieces = Array.from({ length: 4_000 }, () => "x");
    const first = await store.openWriter(jobId, silent);
    await write(first, pieces);
    await first[Symbol.asyncDispose]();
    let durable = 0;
    let limits = 0;
    const second = await store.openWriter(jobId, {
      ...silent,
      onDurable: (seq) => (durable = seq),
      onLimit: () => limits++,
    });
    assert.equal(second.nextSeq, 4_000);
    await write(second, pieces);
    await second.end();
    await second[Symbol.asyncDispose]();
    assert.deepEqual([durable, limits], [8_000, 1]);
    const { size } = await stat(pathOf());
    assert.ok(size > 1.9 * MAX && size < 2 * MAX + 500, `${size} bytes`);
    store.close(jobId);
    const tail = await store.openTail(jobId, () => {});
    const records = await readAll(tail);
    assert.match(
      records.at(-1)?.bytes.toString() ?? "",
      /limit of 200000 bytes, with the times of its many small pieces/,
    );
    await tail.close();
  });

  it("knows no output of a job that never was", async () => {
    await assert.rejects(
      store.openTail(jobId, () => {}),
      { code: "job_not_found" },
    );
  });
});

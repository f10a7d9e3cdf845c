import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, type LogFields, silentLogger } from "@mags/core";
import { newJobId, type UrlAccess, type UrlRegister } from "@mags/domain";
import { createDoubtfulAccesses } from "./doubtful-accesses.ts";

const accessOf = (path: string): UrlAccess => ({
  ...{ atMs: 1, host: "box.example", guest: newJobId(), clientAddress: "192.0.2.1", method: "GET", path },
  ...{ status: 200, durationMs: 1, bytesIn: 0, bytesOut: 0 },
});

/** Of hosts, all are those of their guests, once they are looked up. */
function createStage(lookUp: () => Promise<void>, most?: number) {
  const noted: string[] = [];
  const refused: LogFields[] = [];
  const looked: number[] = [];
  const ending = new AbortController();
  const doubtful = createDoubtfulAccesses(
    {
      refused: { note: (refusal) => void refused.push(refusal), [Symbol.dispose]() {} },
      ...{ log: silentLogger, signal: ending.signal },
    },
    { most },
  );
  const urls: Pick<UrlRegister, "areOf" | "note"> = {
    note: ({ path }) => void noted.push(path),
    async areOf(hosts) {
      looked.push(hosts.length);
      await lookUp();
      return hosts.map(() => true);
    },
  };
  const add = (address: string, ...paths: readonly string[]) => doubtful.add(paths.map(accessOf), { address, urls });
  return { doubtful, add, noted, refused, looked, ending };
}

describe("createDoubtfulAccesses", () => {
  it("looks up those of one address, or network, at a time, and refuses those for which there is no room", async () => {
    const later = Promise.withResolvers<void>();
    const { doubtful, add, noted, refused, looked } = createStage(() => later.promise, 3);
    add("2001:db8::1", "/1", "/2");
    add("2001:db8::2", "/3", "/4");
    add("2001:db8::3", "/5");
    assert.deepEqual(looked, [2]);
    assert.deepEqual(
      refused.map(({ address }) => address),
      ["2001:db8::2", "2001:db8::3"],
    );
    add("192.0.2.1", "/6");
    assert.deepEqual(looked, [2, 1]);
    later.resolve();
    await doubtful.settled();
    assert.deepEqual(looked, [2, 1, 1]);
    assert.deepEqual(noted.sort(), ["/1", "/2", "/3", "/6"]);
    add("2001:db8::3", "/7");
    await doubtful.settled();
    assert.equal(noted.at(-1), "/7");
  });

  it("looks up again what cannot be known now, until the server ends", async () => {
    let failing = 1;
    const { doubtful, add, noted, ending } = createStage(async () => {
      if (failing-- > 0) throw new AppError("unavailable", "the database is away");
    });
    add("192.0.2.1", "/1");
    await doubtful.settled();
    assert.deepEqual(noted, ["/1"]);
    failing = Number.POSITIVE_INFINITY;
    add("192.0.2.1", "/2");
    ending.abort(new AppError("unavailable", "the server is ending"));
    await doubtful.settled();
    assert.deepEqual(noted, ["/1"]);
  });

  it("gives up what cannot be looked up at all", async () => {
    let failing = 1;
    const { doubtful, add, noted } = createStage(async () => {
      if (failing-- > 0) throw new Error("a fault");
    });
    add("192.0.2.1", "/1");
    add("192.0.2.1", "/2");
    await doubtful.settled();
    assert.deepEqual(noted, ["/2"]);
  });
});

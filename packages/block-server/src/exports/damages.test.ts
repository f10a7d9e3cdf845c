import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, silentLogger } from "@mags/core";
import { createDamages, type FoundDamage } from "./damages.ts";

const { signal } = new AbortController();
const version = { account: "a", workspace: "w", version: { seq: 1, sha256: "" } };

const found = (id: string, pack: string, offset = 0): FoundDamage => ({
  ...{ id, version, offset, length: 65_536 },
  error: new AppError("chunk_corrupt", `record ${offset} of pack ${pack} is damaged`, { details: { pack } }),
});

describe("damages", () => {
  it("tells of each pack once for each reader, and logs what it tells no more of", async () => {
    const logged: string[] = [];
    const log = { ...silentLogger, error: (event: string) => void logged.push(event) };
    const damages = createDamages({ soundVersions: async () => [], log });
    for (let pack = 0; pack < 300; pack++)
      for (const offset of [0, 1]) damages.report(found("much", String(pack), offset));
    damages.report(found("other", "1"));
    await new Promise(setImmediate);
    const told = await damages.after(0, { signal });
    assert.equal(told.filter(({ id }) => id === "much").length, 50);
    assert.equal(told.filter(({ id }) => id === "other").length, 1, "others are heard all the same");
    assert.equal(logged.length, 301);
    damages.forget("other");
    damages.report(found("other", "1"));
    assert.equal(logged.length, 302, "of one that is served anew it is news");
  });

  it("looks for sound versions of two at a time", async () => {
    let most = 0;
    let under = 0;
    const soundVersions = async () => {
      most = Math.max(most, ++under);
      await new Promise(setImmediate);
      under--;
      return [1];
    };
    const damages = createDamages({ soundVersions, log: silentLogger });
    for (let pack = 0; pack < 10; pack++) damages.report(found("id", String(pack)));
    for (let heard = 0; heard < 10; )
      heard = Math.max(...(await damages.after(heard, { signal })).map((d) => d.number));
    assert.equal(most, 2);
  });
});

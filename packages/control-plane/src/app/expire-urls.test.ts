import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "@mags/core";
import { expireUrls } from "./expire-urls.ts";

describe("expireUrls", () => {
  const STEPS = ["links", "certificates", "batches", "entries", "counts"];

  /** What was done, where those fail; and what was thrown. */
  async function expire(failing: readonly string[], { signal } = new AbortController()) {
    const done: string[] = [];
    async function step(name: string): Promise<number> {
      if (failing.includes(name)) throw new Error(name);
      return done.push(name) && 0;
    }
    const deps = {
      urlStore: { removeExpiredLinks: async () => void (await step("links")) },
      urlCertificates: { removeUnused: async () => void (await step("certificates")) },
      urlTraffic: {
        forgetBatches: async () => void (await step("batches")),
        removeEntries: () => step("entries"),
        removeCounts: () => step("counts"),
      },
      urlLogKeepDays: 7,
      clock: systemClock,
    };
    const thrown = await expireUrls(deps, { signal }).then(
      () => null,
      (error: Error) => error.message,
    );
    return { done, thrown };
  }

  it("does all else where one step fails, and tells of the first failure", async () => {
    assert.deepEqual(await expire([]), { done: STEPS, thrown: null });
    for (const name of STEPS)
      assert.deepEqual(await expire([name]), { done: STEPS.filter((one) => one !== name), thrown: name });
    assert.deepEqual(await expire(["links", "entries"]), {
      done: ["certificates", "batches", "counts"],
      thrown: "links",
    });
  });
});

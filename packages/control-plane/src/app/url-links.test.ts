import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { SandboxId } from "@mags/domain";
import { createSealing } from "./sealing.ts";
import { createUrlLinks } from "./url-links.ts";
import type { UrlLink } from "./url-store.ts";

const PLACE = { sandboxId: "5b0c2f6e-1d2f-4a7a-9d55-1f2e3d4c5b6a" as SandboxId, port: 3000 };
const OTHER = { ...PLACE, sandboxId: "5b0c2f6e-1d2f-4a7a-9d55-1f2e3d4c5b6b" as SandboxId };
const START_MS = 1_800_000_000_500;

function setUp({ keyByte = 1 } = {}) {
  const rows = new Map<string, UrlLink>();
  const asked: string[] = [];
  let nowMs = START_MS;
  const links = createUrlLinks({
    store: {
      async addLink(link) {
        rows.set(link.id, link);
        return true;
      },
      async linkStands(id) {
        asked.push(id);
        return rows.has(id);
      },
    },
    sealing: createSealing({ bytes: Buffer.alloc(32, keyByte), file: "key" }),
    clock: { now: () => new Date(nowMs) },
  });
  const pass = (ms: number) => {
    nowMs += ms;
  };
  return { links, rows, asked, pass };
}

const refusal = (why: RegExp) => ({ code: "unauthenticated", message: why });

describe("createUrlLinks", () => {
  it("makes what opens one port of one sandbox, and the database is asked of nothing else", async () => {
    const { links, asked } = setUp();
    const { token, id } = await links.make(PLACE, { expiresInMs: 60_000 });
    await links.check(token, PLACE);
    for (const place of [OTHER, { ...PLACE, port: 300 }, { ...PLACE, port: 30_000 }])
      await assert.rejects(links.check(token, place), refusal(/does not open it/));
    assert.deepEqual(asked, [id]);
  });

  it("refuses a token of which anything was changed", async () => {
    const { links, asked } = setUp();
    const { token } = await links.make(PLACE, { expiresInMs: 60_000 });
    const bytes = token.split(".").map((text) => Buffer.from(text, "base64url"));
    for (const part of [0, 1])
      for (let at = 0; at < (bytes[part]?.length ?? 0); at++) {
        const changed = bytes.map((one, index) => (index === part ? Buffer.from(one) : one));
        changed[part]?.writeUInt8((changed[part].readUInt8(at) ^ 1) & 0xff, at);
        const text = changed.map((one) => one.toString("base64url")).join(".");
        await assert.rejects(links.check(text, PLACE), refusal(/does not open it/), `${part} ${at}`);
      }
    for (const text of ["", ".", `${token}.`, `${token}A`, ` ${token}`, `${token}\n`])
      await assert.rejects(links.check(text, PLACE), refusal(/does not open it/), JSON.stringify(text));
    assert.deepEqual(asked, []);
  });

  it("refuses what another installation has signed", async () => {
    const { token } = await setUp({ keyByte: 2 }).links.make(PLACE, { expiresInMs: 60_000 });
    await assert.rejects(setUp().links.check(token, PLACE), refusal(/does not open it/));
  });

  it("says until when one holds, and holds it so long", async () => {
    const { links, pass } = setUp();
    const { token, expiresAt } = await links.make(PLACE, { expiresInMs: 60_000 });
    assert.equal(expiresAt.getTime(), START_MS + 60_500, "whole seconds");
    pass(60_499);
    await links.check(token, PLACE);
    pass(1);
    await assert.rejects(links.check(token, PLACE), refusal(/has expired/));
  });

  it("refuses one that was revoked, or that the database does not know", async () => {
    const { links, rows } = setUp();
    const { token, id } = await links.make(PLACE, { expiresInMs: 60_000 });
    rows.delete(id);
    await assert.rejects(links.check(token, PLACE), refusal(/was revoked/));
  });
});

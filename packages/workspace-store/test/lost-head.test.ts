import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { CHUNK_BYTES, checkAccount, collect, findVersions, readHead } from "../src/index.ts";
import { chunkOf, createTestStore, HOUR_MS, signal, type TestStore } from "./harness.ts";

const one = (seed: number) => new Map([[0, chunkOf(seed)]]);

async function keysOf({ store }: TestStore, part: string): Promise<string[]> {
  const keys: string[] = [];
  for await (const { key } of store.list("", { signal })) if (key.includes(part)) keys.push(key);
  return keys;
}

/** A workspace of five versions, of which two are not listed any more, without its head. */
async function beheaded() {
  const test = createTestStore();
  const key = test.newKey();
  const before = await test.lease(key);
  for (let seed = 1; seed <= 5; seed++) await test.publish(before, one(seed), seed === 5 ? { keep: 3 } : {});
  const [head] = await keysOf(test, "/head");
  assert.ok(head);
  await test.store.delete(head);
  return { test, key, before, head };
}

describe("a head that is lost", () => {
  it("is told of by collector and check, and nothing of its workspace is garbage", async () => {
    const { test, head } = await beheaded();
    for (let hour = 0; hour < 80; hour++) {
      const { removed, unreadable } = await collect(test.store, {
        ...{ account: test.account, graceMs: 24 * HOUR_MS, clock: test.clock, pinned: async () => [], signal },
      });
      assert.deepEqual([removed, unreadable.map(({ key }) => key)], [[], [head]]);
      test.clock.pass(HOUR_MS);
    }
    assert.equal((await keysOf(test, "/versions/")).length, 5);
    const problems: string[] = [];
    const onProblem = ({ key, what }: { key: string; what: string }) => problems.push(`${key}: ${what}`);
    const { workspaces } = await checkAccount(test.store, { account: test.account, data: true, signal, onProblem });
    assert.deepEqual([problems.length, workspaces], [1, 1]);
    assert.match(problems[0] ?? "", /\/head: \S+\/head is lost/);
  });

  it("is written anew, with the versions that are there, by who may make one; whoever held it before is out", async () => {
    const { test, key, before } = await beheaded();
    const refused = { code: "lease_lost", message: /^the head of workspace \S+ is not in the object store any more/ };
    await assert.rejects(
      before.update((head) => head, { signal }),
      refused,
    );
    const anew = await test.lease(key, { holder: "node-b" });
    assert.deepEqual(
      anew.head.versions.map(({ seq }) => seq),
      [1, 2, 3, 4, 5],
    );
    assert.ok(anew.generation > before.generation);
    assert.equal((await test.publish(anew, one(6))).version.seq, 6);
    assert.deepEqual(await (await test.latest(key))?.read(0, CHUNK_BYTES, { signal }), chunkOf(6));
  });

  it("lists what can be read of its versions, and by their numbers those of the later lease", async () => {
    const { test, key, before } = await beheaded();
    const [, , third] = await keysOf(test, "/versions/");
    assert.ok(third);
    await test.store.put(third, Buffer.from("{}"));
    const { versions } = await findVersions(test.store, key, { signal });
    assert.deepEqual(
      versions.map(({ seq }) => seq),
      [1, 2, 4, 5],
    );
    const later = await test.lease(key);
    await test.publish(later, one(6));
    const published = (await readHead(test.store, key, { signal }))?.head.versions.at(-1);
    const stale = { ...before, head: { ...before.head, versions: [...versions] } };
    await assert.rejects(test.publish(stale, one(7), { parent: await test.open(key, versions[3] ?? assert.fail()) }), {
      code: "lease_lost",
    });
    assert.equal((await keysOf(test, "/versions/0000000006")).length, 2, "one that no head lists");
    assert.equal((await findVersions(test.store, key, { signal })).versions.at(-1)?.sha256, published?.sha256);
  });
});

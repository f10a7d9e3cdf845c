import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { startTestServer, type TestServer } from "./support/database.ts";
import { beginHistory, listed, makeSynced } from "./support/history.ts";
import { SYNCED, sandboxTests, WORKSPACES } from "./support/sandboxes.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());
const history = () => beginHistory(server);

describe("the collector", () => {
  it("has a workspace opened as what it was compacted to; before that, what it is opened as is kept", async () => {
    const { node, plane } = await history();
    await plane(async (api, own) => {
      await makeSynced(api, node, "w", "x");
      const [id] = node.storedWorkspaces();
      assert.ok(id);
      const synced = await listed(api, "w");
      node.compact(id);
      const look = async () => {
        await own.plane.collectNow();
        return node.collections
          .at(-1)
          ?.pinned.get(id)
          ?.map(({ seq }) => seq);
      };
      assert.deepEqual([await look(), (await listed(api, "w")).version], [[1], 2]);
      const { last_synced_at, updated_at } = await listed(api, "w");
      assert.deepEqual([last_synced_at, updated_at], [synced.last_synced_at, synced.updated_at]);
      await api.untilScriptOver(await api.submit(SYNCED("w")));
      assert.equal(node.contentOf(api.newestSandbox()), "x");
      node.compact(id);
      await look();
      assert.equal((await listed(api, "w")).version, 2, "it is open: its syncs tell");
      await api.call("DELETE", `${WORKSPACES}/w?force=1`);
      assert.deepEqual(await look(), [], "a deleted one is not opened any more");
    });
  });

  it("looks as often as it is told to", async () => {
    const { node, plane } = await history();
    await plane(
      async (api) => {
        await makeSynced(api, node, "w", "x");
        await waitFor(() => node.collections.length > 2, { what: "the third look" });
      },
      { collectionIntervalMs: 20 },
    );
  });

  it("keeps what disks stand on, of each account, and says what it did", async () => {
    const { node, plane } = await history();
    await plane(async (api, own) => {
      await makeSynced(api, node, "base", "x");
      const [base] = node.storedWorkspaces();
      assert.ok(base);
      const { client } = await own.addUser();
      const theirs = sandboxTests(
        () => own,
        () => client,
      );
      await makeSynced(theirs, node, "base", "y");
      const fork = await api.submit({ base_workspace_id: "base", script: "hang" });
      await api.untilStatus(fork, "running");
      await makeSynced(api, node, "base", "y");
      assert.deepEqual(await own.plane.collectNow(), { ok: true, removedBytes: 0, waiting: 0 });
      const pins = () => node.collections.flatMap(({ pinned }) => pinned.get(base) ?? []).map(({ seq }) => seq);
      assert.deepEqual([pins(), node.collections.length], [[1, 2], 2]);
      await api.call("DELETE", `${WORKSPACES}/base?force=1`);
      assert.equal((await own.plane.collectNow()).removedBytes, 100);
      node.storeAway("away");
      assert.equal((await own.plane.collectNow()).ok, false);
      const metrics = String((await api.call("GET", "/metrics")).body);
      for (const line of [
        /mags_collector_runs_total\{result="ok"\} 2/,
        /mags_collector_runs_total\{result="failed"\} 1/,
      ])
        assert.match(metrics, line);
      assert.match(metrics, /mags_collector_removed_bytes_total 100/);
      assert.match(metrics, /mags_collector_last_success_timestamp_seconds \d{10}/);
    });
  });
});

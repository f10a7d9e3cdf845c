/** Promotions of local workspaces that the node is not told of. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { AppError } from "@mags/core";
import { type SimulatedNode, waitFor } from "@mags/test-kit";
import { startTestServer, type TestServer } from "./support/database.ts";
import { type Api, beginHistory, listed } from "./support/history.ts";
import { JOBS, SYNCED } from "./support/sandboxes.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());

/** A warm local workspace `w` with some text in it. */
async function makeLocal(api: Api, node: SimulatedNode): Promise<void> {
  await api.untilStatus(await api.submit({ workspace_id: "w" }), "completed");
  node.write(api.newestSandbox(), "x");
}

describe("a promotion that the node does not take", () => {
  it("is refused with the reason, keeps scripts from running, and is made up for", async () => {
    const { node, plane } = await beginHistory(server);
    let isFull = true;
    const setSandboxPolicy: SimulatedNode["setSandboxPolicy"] = async (id, policy) => {
      if (isFull && policy.syncTo) throw new Error("ENOSPC");
      await node.setSandboxPolicy(id, policy);
    };
    await plane(
      async (api) => {
        await makeLocal(api, node);
        const refused = await api.post(SYNCED("w"));
        assert.equal(refused.status, 503);
        assert.match(refused.body.error, /workspace w is not synced yet: the node could not take down.*: try again/);
        const job = await api.untilStatus("w", "error");
        assert.match(job.error_message, /not accepted: workspace w is not synced yet/);
        const waits = await api.submit({ workspace_id: "w" });
        assert.equal((await api.statusOf(waits)).status, "pending");
        isFull = false;
        await api.untilStatus(waits, "completed");
        await waitFor(async () => (await listed(api, "w"))?.version === 1, { what: "the first version" });
        await api.call("POST", `${JOBS}/w/stop`);
        await api.untilScriptOver(await api.submit(SYNCED("w")));
        assert.equal(node.contentOf(api.newestSandbox()), "x");
      },
      { node: { ...node, setSandboxPolicy } },
    );
  });

  it("does not let a stop drop what it was to publish, but with force, and tells of that", async () => {
    const { node, plane } = await beginHistory(server);
    const deaf: { setSandboxPolicy: SimulatedNode["setSandboxPolicy"] } = { setSandboxPolicy: async () => {} };
    const own = {
      ...node,
      setSandboxPolicy: (...asked: Parameters<typeof deaf.setSandboxPolicy>) => deaf.setSandboxPolicy(...asked),
    };
    await plane(
      async (api) => {
        await makeLocal(api, node);
        const id = await api.submit(SYNCED("w"));
        await api.untilScriptOver(id);
        deaf.setSandboxPolicy = async () => {
          throw new Error("ENOSPC");
        };
        const reply = await api.call("POST", `${JOBS}/w/stop`);
        assert.match(reply.body.message, /not stopped yet: .*the node could not take down that it is to be synced/);
        assert.equal(node.contentOf(api.newestSandbox()), "x");
        assert.equal((await api.call("POST", `${JOBS}/w/stop?force=1`)).body.message, "Mags job stopped");
        const event = await api.untilEvent(id, "changes_discarded");
        assert.deepEqual([event.data.behind_bytes, event.data.version], [null, null]);
      },
      { node: own },
    );
  });
});

describe("a promotion that was stored before a restart, with a stop after it", () => {
  it("is published before the sandbox ends", async () => {
    const { node, plane } = await beginHistory(server);
    const killed = async () => {
      throw new AppError("unavailable", "the server was killed here");
    };
    await plane(
      async (api) => {
        await makeLocal(api, node);
        await api.untilScriptOver(await api.submit(SYNCED("w")));
        await api.call("POST", `${JOBS}/w/stop`);
        assert.equal(node.policyOf(api.newestSandbox())?.syncTo, null);
      },
      { node: { ...node, setSandboxPolicy: async () => {}, releaseSandbox: killed } },
    );
    await plane(async (api) => {
      await api.untilStatus("w", "completed");
      assert.equal((await listed(api, "w")).version, 1);
    });
  });
});

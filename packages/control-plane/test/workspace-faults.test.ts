/** Restarts between a row and a call of the node, and reports that are lost. */
import assert from "node:assert/strict";
import { after, before, describe, it } from "node:test";
import { AppError } from "@mags/core";
import { type SimulatedNode, waitFor } from "@mags/test-kit";
import { sql } from "kysely";
import type { Database } from "../src/sql/database.ts";
import { startTestServer, type TestServer } from "./support/database.ts";
import { type Api, beginHistory, listed, makeSynced } from "./support/history.ts";
import { JOBS, SYNCED, WORKSPACES } from "./support/sandboxes.ts";

let server: TestServer;
before(async () => {
  server = await startTestServer();
});
after(() => server[Symbol.asyncDispose]());
const history = () => beginHistory(server);

describe("a restart of the control plane", () => {
  it("takes over versions that were published meanwhile", async () => {
    const { node, plane } = await history();
    await plane(async (api) => {
      await api.untilScriptOver(await api.submit(SYNCED("w")));
    });
    const [sandbox] = node.observeSandboxes();
    assert.ok(sandbox);
    node.write(sandbox.sandboxId, "meanwhile");
    await node.interval(sandbox.sandboxId);
    await plane(async (api) => {
      await waitFor(async () => (await listed(api, "w")).version === 1, { what: "the version" });
    });
  });

  it("opens what was published by a stop whose end it never heard of", async () => {
    const { node, plane } = await history();
    await plane(async (api) => {
      await makeSynced(api, node, "w", "one ");
      await api.untilScriptOver(await api.submit(SYNCED("w")));
    });
    const [sandbox] = node.observeSandboxes();
    assert.ok(sandbox);
    node.write(sandbox.sandboxId, "two");
    await node.releaseSandbox(sandbox.sandboxId, { reason: "stopped" });
    node.storeAway("away");
    await plane(async (api) => {
      // Until it is known what was published last, nobody may open it.
      assert.equal((await api.statusOf("w")).status, "running");
      node.storeAway(null);
      await api.untilStatus("w", "error");
      await api.untilScriptOver(await api.submit(SYNCED("w")));
      assert.equal(node.contentOf(api.newestSandbox()), "one two");
    });
  });

  it("finishes a stop that waits for the store", async () => {
    const { node, plane } = await history();
    await plane(async (api) => {
      await api.untilScriptOver(await api.submit(SYNCED("w")));
      node.write(api.newestSandbox(), "x");
      node.storeAway("away");
      await api.call("POST", `${JOBS}/w/stop`);
    });
    node.storeAway(null);
    await plane(async (api) => {
      await api.untilStatus("w", "completed");
      assert.equal((await listed(api, "w")).version, 1);
    });
  });

  it("tells the node of a promotion that it was not told of", async () => {
    const { node, plane } = await history();
    let deaf = false;
    const setSandboxPolicy: SimulatedNode["setSandboxPolicy"] = async (...asked) => {
      if (!deaf) await node.setSandboxPolicy(...asked);
    };
    await plane(
      async (api) => {
        await api.untilStatus(await api.submit({ workspace_id: "w" }), "completed");
        node.write(api.newestSandbox(), "x");
        deaf = true;
        await api.untilScriptOver(await api.submit(SYNCED("w")));
        assert.equal(node.policyOf(api.newestSandbox())?.syncTo, null);
      },
      { node: { ...node, setSandboxPolicy } },
    );
    await plane(async (api) => {
      await waitFor(async () => (await listed(api, "w")).version === 1, { what: "the promotion" });
    });
  });

  it("finishes a deletion that the node was not told of", async () => {
    const { node, plane } = await history();
    const deleteWorkspace = async () => {
      throw new AppError("unavailable", "the server was killed here");
    };
    await plane(
      async (api) => {
        await makeSynced(api, node, "w", "x");
        assert.equal((await api.call("DELETE", `${WORKSPACES}/w`)).status, 200);
        assert.equal(node.storedWorkspaces().length, 1);
      },
      { node: { ...node, deleteWorkspace } },
    );
    await plane(async () => {
      await waitFor(() => node.storedWorkspaces().length === 0, { what: "the deletion" });
    });
  });

  for (const [what, took] of [
    ["took effect", true],
    ["did not", false],
  ] as const)
    it(`finds out whether a restore that was cut off ${what}`, async () => {
      const { node, plane } = await history();
      const restoreVersion: SimulatedNode["restoreVersion"] = async (...asked) => {
        if (took) await node.restoreVersion(...asked);
        throw new AppError("unavailable", "the server was killed here");
      };
      await plane(
        async (api) => {
          for (const text of ["a", "b"]) await makeSynced(api, node, "w", text);
          const reply = await api.call("POST", `${WORKSPACES}/w/restore`, { version: 1 });
          assert.equal(reply.status, 503);
          const refused = await api.post(SYNCED("w"));
          assert.match(refused.body.error, /already exists and is in use: it is being restored/);
        },
        { node: { ...node, restoreVersion }, reconcileIntervalMs: 1e6 },
      );
      await plane(async (api) => {
        const opened = async () => (await api.post(SYNCED("w"))).status === 202;
        await waitFor(opened, { what: "the workspace to be free" });
        await api.untilScriptOver("w");
        assert.equal(node.contentOf(api.newestSandbox()), took ? "a" : "ab");
      });
    });
});

describe("a database that was restored from an older copy", () => {
  it("does not keep a workspace, or a fork of it, from beginning as what was published last", async () => {
    const { node, plane } = await history();
    await plane(async (api) => {
      for (const text of ["one ", "two"]) await makeSynced(api, node, "w", text);
    });
    const older = (database: Database) =>
      database.run((db) => sql`update workspaces set seq = 1, sha256 = ${"0".repeat(64)}`.execute(db));
    const opened = async (api: Api, fields: Readonly<Record<string, unknown>>) => {
      const id = await api.submit(fields);
      await api.untilScriptOver(id);
      assert.match((await api.untilEvent(id, "opened")).message, /version 2 of workspace w/);
      assert.equal(node.contentOf(api.newestSandbox()), "one two");
    };
    const prepare = async (database: Database) => void (await older(database));
    await plane((api) => opened(api, { workspace_id: "fork", base_workspace_id: "w" }), { prepare });
    await plane(
      async (api) => {
        await opened(api, SYNCED("w"));
        node.write(api.newestSandbox(), " three");
        assert.equal((await api.call("POST", `${JOBS}/w/sync`)).body.version, 3);
      },
      { prepare },
    );
  });
});

describe("a sandbox that is lost with its disk", () => {
  it("leaves what was published", async () => {
    const { node, plane } = await history();
    await plane(async (api) => {
      const id = await api.submit(SYNCED("w"));
      await api.untilScriptOver(id);
      const sandbox = api.newestSandbox();
      node.write(sandbox, "saved");
      await api.call("POST", `${JOBS}/w/sync`);
      node.write(sandbox, " lost");
      node.forgetSandbox(sandbox);
      await api.untilStatus(id, "error");
      await api.untilScriptOver(await api.submit(SYNCED("w")));
      assert.equal(node.contentOf(api.newestSandbox()), "saved");
    });
  });
});

describe("damage in the object store that a VM meets", () => {
  it("is an event with what to do, and counted", async () => {
    const { node, plane } = await history();
    await plane(async (api) => {
      const id = await api.submit(SYNCED("w"));
      await api.untilScriptOver(id);
      const workspaceId = node.policyOf(api.newestSandbox())?.syncTo?.workspaceId;
      const place = {
        workspaceId,
        workspace: "w",
        version: 7,
        offset: 0,
        length: 65_536,
        reason: "record x of pack y",
      };
      node.meetDamage(api.newestSandbox(), { ...place, soundVersions: [6, 4] });
      const { message } = await api.untilEvent(id, "workspace_damaged");
      assert.match(
        message,
        /workspace w \(version 7\) is damaged or lost.*x of pack y.*: 6, 4; .*restore w --version 6/,
      );
      node.meetDamage(api.newestSandbox(), { ...place, soundVersions: [] });
      await waitFor(async () => /No version without/.test(JSON.stringify(await api.events(id))), { what: "the other" });
      assert.match(String((await api.call("GET", "/metrics")).body), /mags_workspace_damages_total 2/);
    });
  });

  it("names the workspace where the node knows its number only, and advises nothing for one that is deleted", async () => {
    const { node, plane } = await history();
    await plane(async (api) => {
      await api.untilScriptOver(await api.submit(SYNCED("golden")));
      const workspaceId = node.policyOf(api.newestSandbox())?.syncTo?.workspaceId;
      const id = await api.submit(SYNCED("other"));
      await api.untilScriptOver(id);
      const damage = (whose: unknown) =>
        node.meetDamage(api.newestSandbox(), {
          ...{ workspaceId: whose, workspace: whose, version: 7, offset: 0, length: 65_536 },
          ...{ reason: "record x of pack y", soundVersions: [6] },
        });
      damage(workspaceId);
      assert.match(
        (await api.untilEvent(id, "workspace_damaged")).message,
        /workspace golden .*restore golden --version 6/,
      );
      damage("4f9e3b0e-5d3c-4a52-8b86-0a6a3f4a2c11");
      const told = /part of workspace 4f9e3b0e[^"]*versions without this damage: 6"/;
      await waitFor(async () => told.test(JSON.stringify(await api.events(id))), { what: "the other" });
    });
  });
});

describe("a sandbox whose disk ceases to stand on a version", () => {
  it("keeps it no longer, and tells its job, also when its report was lost", async () => {
    const { node, plane } = await history();
    await plane(async (api, own) => {
      await makeSynced(api, node, "base", "x");
      const pinned = async () => {
        await own.plane.collectNow();
        return [...(node.collections.at(-1)?.pinned.values() ?? [])].flat().length;
      };
      for (const untold of [false, true]) {
        const fork = await api.submit({ base_workspace_id: "base", script: "hang" });
        await api.untilStatus(fork, "running");
        await makeSynced(api, node, "base", "y"); // what the base itself is opened as is kept, too
        assert.deepEqual([await pinned(), (await api.call("DELETE", `${WORKSPACES}/base`)).status], [2, 409]);
        node.hydrate(api.newestSandbox(), { untold });
        await waitFor(async () => (await pinned()) === 1, { what: "nothing that is kept" });
        if (!untold) await api.untilEvent(fork, "hydrated");
      }
      assert.equal((await api.call("DELETE", `${WORKSPACES}/base`)).status, 200);
    });
  });
});

import assert from "node:assert/strict";
import type { ServerResponse } from "node:http";
import { after, afterEach, before, describe, it } from "node:test";
import { Mags, MagsError } from "../src/sdk/index.ts";
import { type CliBench, createCliBench, until } from "./cli-process.ts";
import { type ScriptedApi, type SeenRequest, SYNCED_WORKSPACE, send, startScriptedApi, TOKEN } from "./scripted-api.ts";

let api: ScriptedApi;
let cli: CliBench;
let mags: Mags;
/** Requests about one workspace. */
let seen: SeenRequest[] = [];

before(async () => {
  api = await startScriptedApi();
  cli = await createCliBench(api);
  mags = new Mags({ apiToken: TOKEN, apiUrl: api.url });
});
after(async () => {
  await cli[Symbol.asyncDispose]();
  await api[Symbol.asyncDispose]();
});
afterEach(() => {
  api.intercept = () => false;
  seen = [];
});

function answer(reply: (request: SeenRequest, to: ServerResponse) => void): void {
  api.intercept = (request, to) => {
    if (!request.path.startsWith("/api/v1/mags-workspaces")) return false;
    seen.push(request);
    reply(request, to);
    return true;
  };
}

const DELETED = { success: true, message: "Workspace golden deleted" };
const VERSIONS = {
  workspace_id: "golden",
  versions: [
    {
      ...{ version: 4, sha256: "ab", created_at: "2026-01-02T03:04:05.000Z", reason: "stop", size_bytes: 2048 },
      ...{ stored_bytes: 100, disk_bytes: 2 ** 31 },
    },
  ],
  total: 1,
};
const DIFF = { workspace_id: "golden", version: 2, with: 4 };
/** It is in use until it is forced. */
const inUse = () =>
  answer((request, to) => {
    if (request.query.get("force") === "1") return send(to, 200, DELETED);
    send(to, 409, { error: "workspace golden is in use: the VM of job box stands on it", code: "workspace_in_use" });
  });

describe("mags workspace", () => {
  it("list shows what is kept", async () => {
    const { stdout, code } = await cli.run(["workspace", "list"]);
    const [title, row] = stdout.toString().split("\n");
    assert.match(title ?? "", /^WORKSPACE +VERSION +SIZE +STORED +SYNCED +BASE +JOB$/);
    assert.match(row ?? "", /^golden +4 +2\.9 MiB +1\.5 KiB +\d+d ago +stem@2 +-$/);
    assert.equal(code, 0);
    const json = JSON.parse((await cli.run(["workspace", "ls", "--json"])).stdout.toString());
    assert.deepEqual(json, { workspaces: [SYNCED_WORKSPACE], total: 1 });
  });

  it("list says when there is none, and what failed", async () => {
    answer((_, to) => send(to, 200, { workspaces: [], total: 0 }));
    const none = await cli.run(["workspace", "list"]);
    assert.deepEqual([none.stdout.toString(), none.code], ["", 0]);
    assert.match(none.stderr, /no synced workspaces.*mags new NAME -p/);
    const failed = {
      ...SYNCED_WORKSPACE,
      behind_bytes: 2048,
      version: null,
      last_synced_at: null,
      base: null,
      failure: "no room",
      running: { read_bytes: 1024, total_bytes: 2048, sent_bytes: 0 },
    };
    answer((_, to) => send(to, 200, { workspaces: [failed], total: 1 }));
    const { stdout, stderr } = await cli.run(["workspace", "list"]);
    assert.match(
      stdout.toString(),
      /golden +- .* never, 2\.0 KiB behind, publishing, 1\.0 KiB of 2\.0 KiB read, 0 B sent +- +-\n/,
    );
    assert.match(stderr, /golden could not be synced: no room/);
  });

  it("delete asks first, and does nothing without a yes", async () => {
    answer((_, to) => send(to, 200, DELETED));
    for (const input of ["", "\n", "n\n", "yeah\n"]) {
      const { stderr, code } = await cli.run(["workspace", "delete", "golden"], { input });
      assert.match(stderr, /^Delete workspace golden and its data for good\? \[y\/N\] error: nothing was deleted/);
      assert.equal(code, 1);
    }
    assert.equal(seen.length, 0);
    const done = await cli.run(["workspace", "delete", "golden"], { input: "y\n" });
    assert.deepEqual([done.stdout.toString(), done.code], ["Workspace golden deleted\n", 0]);
    assert.deepEqual([seen[0]?.method, seen[0]?.path], ["DELETE", "/api/v1/mags-workspaces/golden"]);
  });

  it("delete asks again before it stops what stands on it", async () => {
    inUse();
    const running = cli.start(["workspace", "delete", "golden"], { input: { open: true } });
    await until("the first question", () => running.stderr().includes("for good? [y/N]"));
    running.child.stdin?.write("yes\n");
    await until("the second question", () => running.stderr().includes("job box stands on it\nStop what stands on it"));
    running.child.stdin?.end("y\n");
    assert.equal((await running.ended).stdout.toString(), "Workspace golden deleted\n");
    assert.deepEqual(
      seen.map(({ query }) => query.get("force")),
      [null, "1"],
    );
  });

  it("delete -y asks nothing, and other errors are passed on", async () => {
    inUse();
    const done = await cli.run(["workspace", "rm", "-y", "golden", "--json"]);
    assert.deepEqual([JSON.parse(done.stdout.toString()), done.stderr], [DELETED, ""]);
    answer((_, to) => send(to, 404, { error: "there is no synced workspace", code: "workspace_not_found" }));
    const { stderr, code } = await cli.run(["workspace", "delete", "-y", "none"]);
    assert.deepEqual([stderr, code], ["error: there is no synced workspace\n", 1]);
  });

  it("versions lists them, or says that there are none", async () => {
    answer((_, to) => send(to, 200, VERSIONS));
    const { stdout } = await cli.run(["workspace", "versions", "golden"]);
    assert.match(
      stdout.toString(),
      /^VERSION +MADE +WHY +SIZE +STORED\n4 +2026-01-02T03:04:05.000Z +stop +2.0 KiB +100 B\n$/,
    );
    assert.equal(seen[0]?.path, "/api/v1/mags-workspaces/golden/versions");
    const json = await cli.run(["workspace", "versions", "golden", "--json"]);
    assert.deepEqual(JSON.parse(json.stdout.toString()), VERSIONS);
    answer((_, to) => send(to, 200, { ...VERSIONS, versions: [], total: 0 }));
    assert.match((await cli.run(["workspace", "versions", "golden"])).stderr, /not synced yet.*mags sync golden/);
  });

  it("diff compares the last two versions, or those that are named, and pages on", async () => {
    const change = { change: "changed", parts: ["content", "time"], type: "file", size_before: 10, size_after: 2048 };
    const pages = {
      first: { ...DIFF, changes: [{ ...change, path: "etc/a" }], next: "bmV4dA" },
      second: {
        ...DIFF,
        changes: [
          { change: "removed", parts: [], type: null, size_before: null, size_after: null, path: "etc/b" },
          { change: "added", parts: [], type: "symlink", size_before: null, size_after: null, path: "etc/c\u001b[31m" },
        ],
        next: null,
      },
    };
    answer(({ path, query }, to) => {
      if (path.endsWith("/versions")) return send(to, 200, { ...VERSIONS, versions: [{ version: 4 }, { version: 2 }] });
      send(to, 200, query.has("after") ? pages.second : pages.first);
    });
    const first = await cli.run(["workspace", "diff", "golden"]);
    assert.match(
      first.stdout.toString(),
      /^CHANGE +WHAT +SIZE +PATH\nchanged +content, time +10 B > 2.0 KiB +etc\/a\n$/,
    );
    assert.match(first.stderr, /first 1 changes from version 2 to 4. All: --all/);
    assert.equal(seen.at(-1)?.path, "/api/v1/mags-workspaces/golden/versions/2/diff");
    const compacted = [{ version: 5, reason: "compaction" }, { version: 4 }, { version: 3 }];
    answer(({ path, query }, to) => {
      if (path.endsWith("/versions")) return send(to, 200, { ...VERSIONS, versions: compacted });
      send(to, 200, query.has("after") ? pages.second : pages.first);
    });
    await cli.run(["workspace", "diff", "golden"]);
    assert.equal(seen.at(-1)?.path, "/api/v1/mags-workspaces/golden/versions/3/diff");
    const all = await cli.run(["workspace", "diff", "golden", "2", "4", "--all"]);
    assert.match(
      all.stdout.toString(),
      /\nremoved +file of the image +- +etc\/b\nadded +symlink +- +"etc\/c\\u001b\[31m"\n$/,
    );
    assert.equal(String(seen.at(-1)?.query), "with=4&limit=10000&after=bmV4dA");
    const json = await cli.run(["workspace", "diff", "golden", "--all", "--json"]);
    assert.equal(JSON.parse(json.stdout.toString()).changes.length, 3);
    answer((_, to) => send(to, 200, { ...VERSIONS, versions: [{ version: 4 }] }));
    assert.match((await cli.run(["workspace", "diff", "golden"])).stderr, /one version only, or none/);
  });

  it("restore takes a version", async () => {
    const reply = { success: true, message: "Workspace golden is as in version 2 again, as version 5", version: 5 };
    answer((_, to) => send(to, 200, reply));
    const { stdout } = await cli.run(["workspace", "restore", "golden", "--version", "2"]);
    assert.equal(stdout.toString(), `${reply.message}\n`);
    assert.deepEqual([seen[0]?.path, seen[0]?.body], ["/api/v1/mags-workspaces/golden/restore", { version: 2 }]);
    const json = await cli.run(["workspace", "restore", "golden", "--version", "2", "--json"]);
    assert.deepEqual(JSON.parse(json.stdout.toString()), reply);
    const missing = await cli.run(["workspace", "restore", "golden"]);
    assert.match(missing.stderr, /^error: required option '--version <n>' not specified\nSee: mags help workspace\n/);
  });

  it("without a command of its own, or with an unknown one, says what there is", async () => {
    const help = await cli.run(["help", "workspace"]);
    for (const word of ["list", "delete", "versions", "diff", "restore"]) assert.ok(help.stdout.includes(word), word);
    const unknown = await cli.run(["workspace", "clone"]);
    assert.equal(unknown.code, 1);
    assert.match(unknown.stderr, /unknown command 'clone'/);
  });
});

describe("the SDK about workspaces", () => {
  it("lists, deletes, restores, and reads versions", async () => {
    assert.equal((await mags.listWorkspaces()).workspaces[0]?.workspace_id, "golden");
    inUse();
    await assert.rejects(
      mags.deleteWorkspace("golden"),
      (error) => error instanceof MagsError && error.code === "workspace_in_use" && error.statusCode === 409,
    );
    assert.equal((await mags.deleteWorkspace("golden", { force: true })).success, true);
    answer((_, to) => send(to, 200, VERSIONS));
    assert.equal((await mags.workspaceVersions("golden")).versions[0]?.version, 4);
    answer((_, to) => send(to, 200, { success: true, message: "", version: 5 }));
    assert.equal((await mags.restoreWorkspace("golden", 2)).version, 5);
    for (const name of ["", ".", ".."])
      await assert.rejects(
        mags.workspaceVersions(name),
        (error) => error instanceof MagsError && error.statusCode === 404,
      );
  });

  it("sync answers with the version", async () => {
    api.intercept = ({ path }, to) => {
      if (!path.endsWith("/box/sync")) return false;
      send(to, 200, { success: true, message: "Workspace box synced as version 3", version: 3 });
      return true;
    };
    assert.equal((await mags.sync("box")).version, 3);
  });

  it("new with persistent syncs, and begins with a base", async () => {
    api.play = () => {};
    await mags.new("fork", { persistent: true, baseWorkspaceId: "golden@2" });
    const { persistent, no_sync, base_workspace_id } = api.jobs.at(-1)?.body ?? {};
    assert.deepEqual([persistent, no_sync, base_workspace_id], [true, undefined, "golden@2"]);
  });
});

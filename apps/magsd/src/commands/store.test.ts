import assert from "node:assert/strict";
import { randomUUID } from "node:crypto";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { acquireLease, CHUNK_BYTES, createVersionWriter } from "@mags/workspace-store";
import { parseConfig } from "../config.ts";
import { claimObjectFolder } from "../object-folder.ts";
import { openConfiguredStore } from "../object-store.ts";
import { checkStore, exportWorkspace } from "./store.ts";

const { signal } = new AbortController();
const IMAGE = { name: "standard", digest: `sha256:${"0".repeat(64)}` };

describe("the store commands, of a workspace whose head is lost", () => {
  it("say so, and export what is left by the workspace's id", async () => {
    await using dir = await makeTempDir();
    const config = parseConfig(JSON.stringify({ data_dir: dir.path }), "magsd.json");
    await claimObjectFolder(config);
    const key = { account: randomUUID() as string, workspace: randomUUID() as string };
    const head = `accounts/${key.account}/workspaces/${key.workspace}/head`;
    const chunk = Buffer.alloc(CHUNK_BYTES, 7);
    {
      await using store = await openConfiguredStore(config, { log: silentLogger });
      const options = { holder: "node-a", ttlMs: 60_000, clock: systemClock, signal };
      const lease = await acquireLease(store, key, { ...options, create: { name: "w", forked_from: null } });
      const version = { parent: undefined, image: IMAGE, diskBytes: 2 * CHUNK_BYTES };
      await using writer = createVersionWriter({ store, lease, clock: systemClock }, version);
      await writer.put(1, chunk);
      await writer.publish({ reason: "request", signal });
      await store.delete(head, { signal });
    }
    const lines: string[] = [];
    const context = { config, print: (line: string) => void lines.push(line) };
    assert.equal(await checkStore(context, { data: false, signal }), 1);
    assert.match(lines.join("\n"), new RegExp(`^BAD {2}${head}: ${head} is lost`, "m"));
    const file = join(dir.path, "disk.raw");
    const wanted = { form: "disk", file, signal } as const;
    await assert.rejects(exportWorkspace(context, { ...wanted, workspace: "w" }), { code: "workspace_not_found" });
    assert.equal(await exportWorkspace(context, { ...wanted, workspace: key.workspace }), 0);
    assert.deepEqual(await readFile(file), Buffer.concat([Buffer.alloc(CHUNK_BYTES), chunk]));
  });
});

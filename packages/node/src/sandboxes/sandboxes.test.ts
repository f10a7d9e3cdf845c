import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { silentLogger, systemClock } from "@mags/core";
import type { NodeUpdate } from "@mags/domain";
import type { SandboxDeps } from "./sandbox-deps.ts";
import { createSandboxes } from "./sandboxes.ts";

describe("sandboxes", () => {
  it("tell of damage that is met by one that is not there yet, or could not be made", async () => {
    const told: NodeUpdate[] = [];
    const report = (update: NodeUpdate) => void told.push(update);
    const deps = { clock: systemClock, log: silentLogger, report } as unknown as SandboxDeps;
    await using sandboxes = createSandboxes(deps);
    sandboxes.tellDamage({
      ...{ number: 1, id: "begins", offset: 4096, length: 65_536, reason: "record 0 of pack p", sound: [2] },
      version: { account: "a", workspace: "w", version: { seq: 3, sha256: "0" } },
    });
    const [update] = told;
    assert.ok(update?.type === "sandbox");
    assert.deepEqual([update.sandboxId, update.name], ["begins", "workspace_damaged"]);
    assert.deepEqual(update.data, {
      ...{ workspaceId: "w", workspace: "w", version: 3, offset: 4096, length: 65_536 },
      ...{ reason: "record 0 of pack p", soundVersions: [2] },
    });
  });
});

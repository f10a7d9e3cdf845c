import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { AppError, messageOf } from "@mags/core";
import type { AccountId, WorkspaceId } from "@mags/domain";
import { explainLostVersion } from "./explain-lost-version.ts";

const accountId = "a" as AccountId;
const from = { accountId, workspaceId: "w1" as WorkspaceId, version: { seq: 2, sha256: "00" } };
const error = new AppError("version_not_found", "the store has no version 2 of workspace w1");
const explained = (sandbox: Parameters<typeof explainLostVersion>[1] & object) =>
  messageOf(explainLostVersion(error, sandbox));

describe("explainLostVersion", () => {
  it("names the workspace, or the base of a fork, and how to go back", () => {
    const own = { accountId, workspaceId: from.workspaceId, name: "d2", forkedFrom: null };
    assert.match(
      explained({ from, syncTo: own }),
      /^version 2 of workspace d2 is lost .*: mags workspace restore d2 --version N$/,
    );
    const fork = { accountId, workspaceId: "w2" as WorkspaceId, name: "f", forkedFrom: { ...own, seq: 2 } };
    assert.match(explained({ from, syncTo: fork }), /^version 2 of workspace d2 is lost/);
    assert.match(explained({ from, syncTo: null }), /^version 2 of workspace w1 is lost .* restore NAME --version N$/);
  });

  it("leaves other errors, and what begins as no version, as they are", () => {
    const other = new AppError("unavailable", "the object store is away");
    assert.equal(explainLostVersion(other, { from, syncTo: null }), other);
    assert.equal(explainLostVersion(error, { from: null, syncTo: null }), error);
    assert.equal(explainLostVersion(error, null), error);
  });
});

import assert from "node:assert/strict";
import { mkdir } from "node:fs/promises";
import { describe, it } from "node:test";
import { AppError } from "@mags/core";
import { isOfFullDisk, isShortage } from "./is-shortage.ts";

describe("isShortage", () => {
  it("looks at the causes, too, and at what failed first", () => {
    const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });
    assert.ok(isShortage(new AppError("internal", "QEMU could not be started", { cause: full })));
    assert.ok(isShortage(new SuppressedError(new Error("of clearing up"), full)));
    assert.ok(isShortage(new AppError("unavailable", "the object store is away")));
  });

  it("is false for what fails the same way again", async () => {
    assert.equal(isShortage(await mkdir("/proc/none").catch((error: unknown) => error)), false);
    assert.equal(isShortage(new AppError("internal", "QEMU could not move the device state")), false);
    assert.equal(isShortage("text"), false);
  });
});

describe("isOfFullDisk", () => {
  const full = Object.assign(new Error("no space left"), { code: "ENOSPC" });

  it("looks at the causes, too, and at what failed first", () => {
    assert.ok(isOfFullDisk(new AppError("internal", "the log could not be written", { cause: full })));
    assert.ok(isOfFullDisk(new SuppressedError(new Error("of clearing up"), full)));
  });

  it("is false for other failures, and for the disk of somebody else", () => {
    assert.equal(isOfFullDisk(new AppError("disk_full", "the guest's disk is full", { cause: full })), false);
    assert.equal(isOfFullDisk(Object.assign(new Error("no memory"), { code: "ENOMEM" })), false);
  });
});

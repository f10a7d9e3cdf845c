import assert from "node:assert/strict";
import { execFileSync } from "node:child_process";
import { mkdir, readdir, rename, rm } from "node:fs/promises";
import { join } from "node:path";
import { describe, it } from "node:test";
import { isAppError } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { loadOwners } from "./owner.ts";
import { openTokenLock } from "./token-lock.ts";

/** `open` opens the lock once more, as another process would. */
async function makePlace() {
  const dir = await makeTempDir();
  const owners = await loadOwners();
  const directory = join(dir.path, "lock");
  await mkdir(join(dir.path, "scratch"));
  return {
    owners,
    directory,
    open: (patienceMs = 10_000) => openTokenLock(directory, { owners, scratch: join(dir.path, "scratch"), patienceMs }),
    [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose](),
  };
}

describe("openTokenLock", () => {
  it("lets one at a time in, of one lock or of several, and gives what it did", async () => {
    await using place = await makePlace();
    const locks = await Promise.all([place.open(), place.open(), place.open()]);
    let inside = 0;
    const enter = async (number: number) => {
      assert.equal(++inside, 1);
      await new Promise(setImmediate);
      inside--;
      return number;
    };
    const entered = await Promise.all(
      Array.from({ length: 30 }, (_, number) => locks[number % 3]?.hold(() => enter(number))),
    );
    assert.deepEqual(
      entered,
      Array.from({ length: 30 }, (_, number) => number),
    );
    assert.deepEqual(await readdir(place.directory), ["free"]);
  });

  it("is free again after a failure", async () => {
    await using place = await makePlace();
    const lock = await place.open();
    const failure = new Error("no");
    await assert.rejects(
      lock.hold(() => Promise.reject(failure)),
      failure,
    );
    assert.equal(await lock.hold(async () => 1), 1);
  });

  it("gives up after a while, naming the process that holds it, and at once for a signal", async () => {
    await using place = await makePlace();
    const [lock, other] = [await place.open(), await place.open(30)];
    const { promise: done, resolve: end } = Promise.withResolvers<void>();
    const { promise: held, resolve: begin } = Promise.withResolvers<void>();
    const holding = lock.hold(() => {
      begin();
      return done;
    });
    await held;
    await assert.rejects(
      other.hold(async () => {}),
      (error: Error) => isAppError(error, "unavailable") && error.message.includes(`process ${process.pid} holds it`),
    );
    const stop = new AbortController();
    const waiting = (await place.open()).hold(async () => {}, { signal: stop.signal });
    const reason = new Error("enough");
    stop.abort(reason);
    await assert.rejects(waiting, reason);
    end();
    await holding;
    assert.equal(await other.hold(async () => 2), 2);
  });

  it("takes the token of a process that is gone, and of another boot", async () => {
    await using place = await makePlace();
    const lock = await place.open();
    const own = place.owners.ownName();
    const pid = execFileSync("sh", ["-c", "echo $$"], { encoding: "utf8" }).trim();
    for (const gone of [own.replace(`-${process.pid}-`, `-${pid}-`), own.replace(/^............/, "0123456789ab")]) {
      await rename(join(place.directory, "free"), join(place.directory, gone));
      assert.equal(await lock.hold(async () => 1), 1);
    }
  });

  it("leaves the token of a process that runs under that number, or of another namespace, where it is", async () => {
    await using place = await makePlace();
    const lock = await place.open(30);
    const [boot, namespace, ...rest] = place.owners.ownName().split("-");
    const stranger = [boot, Number(namespace) + 1, ...rest].join("-");
    for (const name of [stranger, place.owners.ownName()]) {
      await rename(join(place.directory, "free"), join(place.directory, name));
      await assert.rejects(
        lock.hold(async () => {}),
        /holds it and goes on doing so/,
      );
      await rename(join(place.directory, name), join(place.directory, "free"));
    }
  });

  it("brings a token back that somebody has removed, when it is opened", async () => {
    await using place = await makePlace();
    const lock = await place.open(30);
    await rm(join(place.directory, "free"));
    await assert.rejects(
      lock.hold(async () => {}),
      /nobody holds it/,
    );
    await place.open();
    assert.equal(await lock.hold(async () => 1), 1);
  });
});

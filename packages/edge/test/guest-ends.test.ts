import assert from "node:assert/strict";
import { type ChildProcess, spawn } from "node:child_process";
import { once } from "node:events";
import { describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { connectApart, createWhole, soon } from "./apart.ts";
import { startTestGateway } from "./harness.ts";

/** What it says, and its exit code. */
async function over(child: ChildProcess): Promise<[number | null, string]> {
  let said = "";
  child.stderr?.setEncoding("utf8").on("data", (text: string) => {
    said += text;
  });
  const [exitCode] = (await once(child, "close")) as [number | null];
  return [exitCode, said];
}

describe("a connection whose VM has ended", () => {
  it("is ended, with the reason, when nothing passes any more", { timeout: 60_000 }, async () => {
    await using test = await startTestGateway({}, "apart");
    const ssh = (...args: string[]) => spawn("ssh", [...test.options(), ...args], { stdio: ["pipe", "pipe", "pipe"] });
    const [bare, busy] = [ssh("-N", "box@h"), ssh("box@h", "cat; exit 3")];
    const [bareOver, busyOver] = [over(bare), over(busy)];
    busy.stdin?.write("here");
    await once(busy.stdout ?? assert.fail(), "data");
    test.end();
    const [exitCode, said] = await bareOver;
    assert.equal(exitCode, 255);
    assert.match(said, /^Received disconnect from 127\.0\.0\.1 .*: box is not running: it has ended/m);
    assert.equal(busy.exitCode, null);
    busy.stdin?.end();
    assert.deepEqual(await busyOver, [3, ""]);
    await waitFor(() => test.notes.filter(({ what }) => what === "ended").length === 2, { what: "both ends" });
  });
});

describe("an edge that waits for the end of a guest", () => {
  it("hears of it, asks again after the server was away, and asks no more when nobody waits", async () => {
    const whole = createWhole();
    let asked = 0;
    let waiting = 0;
    const upstream = {
      ...whole.upstream,
      directory: {
        ...whole.upstream.directory,
        async untilOver(...args: Parameters<typeof whole.upstream.directory.untilOver>) {
          waiting++;
          try {
            if (asked++ === 0) throw new Error("it is not known now");
            await whole.upstream.directory.untilOver(...args);
          } finally {
            waiting--;
          }
        },
      },
    };
    await using apart = await connectApart(upstream);
    const leaving = new AbortController();
    const left = apart.directory.untilOver(whole.guest, { signal: leaving.signal });
    await waitFor(() => asked === 2 && waiting === 1, { what: "another question" });
    leaving.abort(new Error("nobody waits"));
    await assert.rejects(left, /nobody waits/);
    await waitFor(() => waiting === 0, { what: "no question" });
    const both = [1, 2].map(() => apart.directory.untilOver(whole.guest, { signal: soon() }));
    await waitFor(() => waiting === 1, { what: "one question for both" });
    whole.end();
    await Promise.all(both);
    assert.equal(asked, 3);
  });
});

import assert from "node:assert/strict";
import { randomBytes } from "node:crypto";
import { after, afterEach, before, describe, it } from "node:test";
import { type CliBench, createCliBench, until } from "./cli-process.ts";
import { type ScriptedApi, send, startScriptedApi } from "./scripted-api.ts";
import { runHere, type ScriptedJob } from "./scripted-job.ts";

describe("mags run over broken connections", () => {
  let api: ScriptedApi;
  let cli: CliBench;

  before(async () => {
    api = await startScriptedApi();
    cli = await createCliBench(api);
  });
  after(async () => {
    await cli[Symbol.asyncDispose]();
    await api[Symbol.asyncDispose]();
  });
  afterEach(() => {
    api.play = runHere;
    api.cutAfter = () => undefined;
    api.intercept = () => false;
    api.requests.length = 0;
  });

  const streams = () => api.requests.filter(({ query }) => query.has("follow")).length;

  it("loses and doubles nothing when the stream is cut anywhere", async () => {
    const pieces = Array.from({ length: 24 }, (_, n) => randomBytes(1 + ((n * 1613) % 9000)));
    const streamBytes = pieces.reduce((sum, piece) => sum + piece.length * 1.4 + 120, 0);
    for (let round = 0; round < 6; round++) {
      let cuts = 0;
      const seen = streams();
      api.play = (job) => {
        pieces.forEach((piece, n) => {
          job.write(n % 3 === 0 ? "stderr" : "stdout", n % 3 === 0 ? piece.toString("hex") : piece);
        });
        job.exit(0);
      };
      api.cutAfter = () => (cuts++ < 4 ? Math.ceil(Math.random() * (streamBytes / 5)) : undefined);
      const result = await cli.run(["run", "x"]);
      const written = (wanted: boolean) => pieces.filter((_, n) => (n % 3 === 0) === wanted);
      assert.ok(result.stdout.equals(Buffer.concat(written(false))), "standard output is exact");
      const errors = written(true).map((piece) => piece.toString("hex"));
      assert.ok(result.stderr === errors.join(""), "standard error is exact");
      assert.equal(result.code, 0);
      assert.ok(streams() - seen > 1, "the stream was cut");
    }
  });

  it("goes on by itself when the server is started again", async () => {
    let job: ScriptedJob | undefined;
    api.play = (submitted) => {
      job = submitted.write("stdout", "before ");
    };
    const running = cli.start(["run", "x"]);
    await until("output of before", () => running.stdout() === "before ");
    await api.goAway();
    job?.write("stdout", "meanwhile ");
    await until("the remark", () => running.stderr() !== "");
    await api.comeBack();
    await until("output of meanwhile", () => running.stdout() === "before meanwhile ");
    job?.write("stdout", "after").exit(5);
    const result = await running.ended;
    assert.equal(result.stdout.toString(), "before meanwhile after");
    assert.match(result.stderr, /^cannot reach the Mags server at \S+: connection refused; trying again\n$/);
    assert.equal(result.code, 5);
  });

  it("tries again while the server answers that it is not ready", async () => {
    let refusals = 3;
    api.intercept = ({ query }, reply) => {
      if (!query.has("follow") || refusals-- <= 0) return false;
      send(reply, 503, { error: "the database is starting", code: "unavailable" });
      return true;
    };
    const result = await cli.run(["run", "echo there"]);
    assert.equal(result.stdout.toString(), "there\n");
    assert.equal(result.code, 0);
  });

  it("says how to go on when it cannot", async () => {
    api.intercept = ({ query }, reply) => {
      if (!query.has("follow")) return false;
      send(reply, 401, { error: "the access token is not valid", code: "unauthenticated" });
      return true;
    };
    const result = await cli.run(["run", "echo there"]);
    assert.match(result.stderr, /^error: the access token is not valid\n/);
    assert.ok(result.stderr.includes(`mags logs -f ${api.jobs.at(-1)?.status.request_id}`));
    assert.equal(result.code, 1);
  });
});

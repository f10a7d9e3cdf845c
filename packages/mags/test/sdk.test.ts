import assert from "node:assert/strict";
import { createServer } from "node:net";
import { after, afterEach, before, describe, it } from "node:test";
import { DEFAULT_API_URL, type LogEntry, Mags, MagsError } from "../src/sdk/index.ts";
import { until } from "./cli-process.ts";
import { type ScriptedApi, SSH_ACCESS, send, startScriptedApi, TOKEN } from "./scripted-api.ts";
import { runHere } from "./scripted-job.ts";

describe("Mags", () => {
  let api: ScriptedApi;
  let mags: Mags;

  before(async () => {
    api = await startScriptedApi();
    mags = new Mags({ apiToken: TOKEN, apiUrl: api.url });
  });
  after(async () => {
    await api[Symbol.asyncDispose]();
  });
  afterEach(() => {
    api.play = runHere;
    api.intercept = () => false;
    api.cutAfter = () => undefined;
    api.jobs.length = 0;
    api.requests.length = 0;
  });

  /** Replies to what `matches` in place of the API. */
  function reply(matches: string, status: number, body: unknown): void {
    api.intercept = ({ path }, response) => {
      if (!path.endsWith(matches)) return false;
      send(response, status, body);
      return true;
    };
  }

  const rejects = (promise: Promise<unknown>, expected: Partial<MagsError>) =>
    assert.rejects(promise, (error) => {
      assert.ok(error instanceof MagsError);
      for (const [key, value] of Object.entries(expected)) assert.deepEqual(error[key as keyof MagsError], value);
      return true;
    });

  it("run submits a script with what is set and gives the id in both spellings", async () => {
    api.play = () => {};
    const job = await mags.run("echo hi");
    assert.deepEqual(job, {
      request_id: api.jobs[0]?.status.request_id,
      requestId: api.jobs[0]?.status.request_id,
      status: "accepted",
      message: "Mags job submitted successfully",
    });
    assert.deepEqual(api.requests[0]?.body, { script: "echo hi", type: "inline", persistent: false });
    assert.equal(api.requests[0]?.headers.authorization, `Bearer ${TOKEN}`);
    assert.match(api.requests[0]?.headers["user-agent"] ?? "", /^mags-node\/\d/);
  });

  it("enableAccess asks for a port in either form, 8080 by default, and waits for a job that has no VM yet", async () => {
    api.play = () => {};
    const { requestId } = await mags.run("x", { name: "box", persistent: true });
    let refusals = 2;
    api.intercept = ({ path }, response) => {
      if (!path.endsWith("/access") || refusals-- <= 0) return false;
      send(response, 409, { error: "no VM associated with this job", code: "no_vm" });
      return true;
    };
    assert.deepEqual(await mags.enableAccess("box", 22), { ...SSH_ACCESS, port: 22 });
    await mags.enableAccess(requestId, { port: 22 });
    await mags.enableAccess(requestId);
    const asked = api.requests.filter(({ path }) => path.endsWith("/access")).map(({ body }) => body);
    assert.deepEqual(asked, [...Array(4).fill({ port: 22 }), { port: 8080 }]);
    const impatient = new Mags({ apiToken: TOKEN, apiUrl: api.url, timeout: 50 });
    refusals = 10;
    await rejects(impatient.enableAccess("box", 22), { statusCode: 409, code: "no_vm" });
    await rejects(mags.enableAccess("nobody", 22), { statusCode: 404, code: "job_not_found" });
  });

  describe("run, when too many jobs wait", () => {
    /** Refuses the first `times` submits. */
    function refuse(
      times: number,
      status: number,
      headers: Readonly<Record<string, string>>,
      code = status === 503 ? "capacity_exhausted" : "too_many_requests",
    ): () => number {
      let refused = 0;
      api.intercept = ({ method, path }, response) => {
        if (method !== "POST" || !path.endsWith("/mags-jobs") || refused === times) return false;
        refused++;
        response.writeHead(status, { "content-type": "application/json", ...headers });
        response.end(JSON.stringify({ error: "too many jobs wait", code }));
        return true;
      };
      return () => refused;
    }
    const submits = () => api.requests.filter(({ method }) => method === "POST").length;

    it("submits again when the server says so, until it is accepted", async () => {
      for (const status of [429, 503]) {
        const refused = refuse(2, status, { "retry-after": "0" });
        const told: unknown[] = [];
        const startedAt = performance.now();
        await mags.run("echo hi", { onRefused: ({ code }) => void told.push(code) });
        assert.equal(refused(), 2);
        assert.equal(told.length, 2);
        // Also where the server names no time, it is not asked without a pause.
        assert.ok(performance.now() - startedAt >= 200);
      }
      assert.equal(api.jobs.length, 2);
      assert.equal(submits(), 6);
    });

    it("gives up when the client's patience ends before that time", async () => {
      const hasty = new Mags({ apiToken: TOKEN, apiUrl: api.url, timeout: 900 });
      refuse(Number.POSITIVE_INFINITY, 429, { "retry-after": "1" });
      await rejects(hasty.run("x"), { statusCode: 429, code: "too_many_requests", retryAfter: 1 });
      await rejects(mags.runAndWait("x", { timeout: 900 }), { statusCode: 429, message: "too many jobs wait" });
      assert.equal(submits(), 2);
    });

    it("does not submit again what the server may have stored", async () => {
      for (const [status, headers, code] of [
        [503, {}],
        [429, { "retry-after": "Wed, 21 Oct 2026 07:28:00 GMT" }],
        [503, { "retry-after": "0" }, "unavailable"],
        [503, { "retry-after": "0" }, ""], // a proxy's: it may have passed the submission on
        [429, { "retry-after": "0" }, "rate_limited"],
      ] as const) {
        refuse(1, status, headers, code);
        await rejects(mags.run("x"), { statusCode: status });
      }
      assert.equal(submits(), 5);
    });

    it("ends its wait when the caller's signal aborts", async () => {
      refuse(Number.POSITIVE_INFINITY, 429, { "retry-after": "20" });
      const caller = new AbortController();
      const running = mags.run("x", { signal: caller.signal });
      await until("the first submit", () => submits() === 1);
      caller.abort(new Error("enough"));
      await assert.rejects(running, /enough/);
    });
  });

  it("run sends every option by its name on the wire", async () => {
    await mags.run("true", {
      name: "n",
      type: "url",
      environment: { A: "1" },
      scriptTimeout: 2500,
      diskGb: 4,
      vcpus: 1,
      memoryMb: 512,
      rootfsType: "standard",
      egress: "none",
      labels: { a: "b" },
      workspaceId: "w",
      baseWorkspaceId: "b",
      persistent: true,
      noSleep: true,
      noSync: true,
      startupCommand: "s",
      fileIds: ["f"],
    });
    assert.deepEqual(api.requests[0]?.body, {
      script: "true",
      name: "n",
      type: "url",
      environment: { A: "1" },
      timeout: 2.5,
      disk_gb: 4,
      vcpus: 1,
      memory_mb: 512,
      rootfs_type: "standard",
      egress: "none",
      labels: { a: "b" },
      workspace_id: "w",
      base_workspace_id: "b",
      persistent: true,
      no_sleep: true,
      no_sync: true,
      startup_command: "s",
      file_ids: ["f"],
    });
  });

  it("run refuses contradictions, and ephemeral leaves the workspace out", async () => {
    await rejects(mags.run("x", { ephemeral: true, persistent: true }), { code: "invalid_argument" });
    await rejects(mags.run("x", { ephemeral: true, baseWorkspaceId: "b" }), { code: "invalid_argument" });
    await rejects(mags.run("x", { noSleep: true }), { code: "invalid_argument" });
    assert.equal(api.requests.length, 0);
    await mags.run("true", { ephemeral: true, workspaceId: "w", noSleep: false });
    assert.deepEqual(api.requests[0]?.body, { script: "true", type: "inline", persistent: false });
  });

  it("runAndWait gives status, exit code, duration and the lines", async () => {
    const result = await mags.runAndWait("echo a; echo b; exit 3");
    const { logs, ...rest } = result;
    const id = api.jobs[0]?.status.request_id;
    assert.deepEqual(rest, {
      requestId: id,
      request_id: id,
      status: "completed",
      exitCode: 3,
      durationMs: 12,
      errorMessage: undefined,
    });
    assert.deepEqual(
      logs.map(({ message, source }) => [message, source]),
      [
        ["a", "stdout"],
        ["b", "stdout"],
      ],
    );
  });

  it("runAndWait gives the reason of a job that failed", async () => {
    api.play = (job) => job.end({ status: "error", error_message: "no image" });
    const result = await mags.runAndWait("x");
    assert.deepEqual([result.status, result.exitCode, result.errorMessage], ["error", undefined, "no image"]);
  });

  it("runAndWait asks again and again where there are no event streams", async () => {
    let asked = 0;
    api.play = (job) => job.write("stdout", "line\n");
    api.intercept = ({ path, query }, response) => {
      if (path.endsWith("/status") && ++asked === 3) api.jobs[0]?.exit(0);
      if (!query.has("follow")) return false;
      send(response, 200, { logs: [] });
      return true;
    };
    const result = await mags.runAndWait("x", { pollInterval: 5 });
    assert.equal(result.exitCode, 0);
    assert.deepEqual(
      result.logs.map(({ message }) => message),
      ["line"],
    );
    assert.equal(asked, 3);
  });

  it("runAndWait gives up after its time, and leaves the job alone", async () => {
    api.play = () => {};
    await rejects(mags.runAndWait("x", { timeout: 50 }), { code: "timeout" });
    const aborted = mags.runAndWait("x", { signal: AbortSignal.abort(new Error("enough")) });
    await assert.rejects(aborted, /enough/);
    assert.ok(!api.requests.some(({ path }) => path.endsWith("/stop")));
  });

  it("followLogs yields the lines as they come and returns the status", async () => {
    api.play = () => {};
    await mags.run("x", { name: "job" });
    const entries = mags.followLogs("job");
    const first = entries.next();
    api.jobs[0]?.write("stdout", "one\ntwo");
    assert.equal(lineOf(await first), "one");
    api.jobs[0]?.exit(4);
    assert.equal(lineOf(await entries.next()), "two");
    const end = await entries.next();
    assert.ok(end.done);
    assert.equal(end.value.exit_code, 4);
  });

  it("followLogs gives pieces in base64, and events of the platform, where asked for", async () => {
    api.play = (job) => job.write("stdout", Buffer.from([0, 255])).exit(0);
    const { requestId } = await mags.run("x");
    const messages: string[] = [];
    for await (const entry of mags.followLogs(requestId, { encoding: "base64", system: true }))
      messages.push(entry.message);
    assert.deepEqual(messages, ["AP8="]);
    assert.equal(api.requests.at(-1)?.query.toString(), "follow=1&encoding=base64&system=1");
  });

  it("followLogs says that the connection is lost when the server stays away", async () => {
    api.play = (job) => job.write("stdout", "one\n");
    const { requestId } = await mags.run("x");
    const entries = mags.followLogs(requestId, { reconnectTimeout: 300 });
    await entries.next();
    await api.goAway();
    try {
      await rejects(entries.next(), { code: "connection_lost" });
    } finally {
      await api.comeBack();
    }
  });

  /** A follower whose streams a server cuts after `sent`; it is told to stop at the tenth. */
  async function cutOff(sent: string): Promise<unknown> {
    api.play = () => {};
    const { requestId } = await mags.run("x");
    const enough = new AbortController();
    let streams = 0;
    api.intercept = ({ query }, response) => {
      if (!query.has("follow")) return false;
      if (++streams === 10) enough.abort(new Error("enough"));
      response.writeHead(200, { "content-type": "text/event-stream" });
      response.flushHeaders();
      response.write(sent, () => response.destroy());
      return true;
    };
    return mags.followLogs(requestId, { reconnectTimeout: 100, signal: enough.signal }).next();
  }

  it("followLogs does not take the head of a stream for a server that goes on", async () => {
    await rejects(cutOff("event: log\n"), { code: "connection_lost" });
  });

  it("followLogs goes on while the server says that it is there", async () => {
    await assert.rejects(cutOff(":\n\n"), /enough/);
  });

  it("followLogs stops when it is told to, also while it waits for the server to come back", async () => {
    api.play = () => {};
    const { requestId } = await mags.run("x");
    const controller = new AbortController();
    const waiting = mags.followLogs(requestId, { signal: controller.signal }).next();
    await until("the stream", () => api.requests.length === 2);
    controller.abort(new Error("enough"));
    await assert.rejects(waiting, /enough/);
    await api.goAway();
    try {
      const again = new AbortController();
      const onConnectionLost = () => again.abort(new Error("enough"));
      await assert.rejects(mags.followLogs(requestId, { signal: again.signal, onConnectionLost }).next(), /enough/);
    } finally {
      await api.comeBack();
    }
  });

  it("followLogs ends its connection when the reader leaves the loop", async () => {
    let closed = false;
    api.play = (job) => job.write("stdout", "one\n");
    api.intercept = (_, response) => {
      response.on("close", () => {
        closed = !response.writableFinished;
      });
      return false;
    };
    const { requestId } = await mags.run("x");
    for await (const entry of mags.followLogs(requestId)) {
      assert.equal(entry.message, "one");
      break;
    }
    await until("the end of the connection", () => closed);
  });

  it("exec gives both streams and the exit code, as text or bytes", async () => {
    api.play = () => {};
    await mags.run("x", { name: "box" });
    const text = await mags.exec("box", "echo ü; echo err >&2; exit 2", { timeout: 1500 });
    assert.deepEqual(text, { exitCode: 2, output: "ü\n", stderr: "err\n", timedOut: false, truncated: false });
    assert.deepEqual(api.requests.at(-1)?.body, { command: "echo ü; echo err >&2; exit 2", timeout: 1.5 });
    const bytes = await mags.exec("box", "printf '\\377'", { encoding: "buffer" });
    assert.deepEqual(bytes.output, Buffer.from([255]));
    reply("/exec", 200, {});
    assert.equal((await mags.exec("box", "x")).exitCode, -1);
  });

  it("exec waits longer than other requests", async () => {
    const hasty = new Mags({ apiToken: TOKEN, apiUrl: api.url, timeout: 50 });
    api.play = () => {};
    await hasty.run("x", { name: "box" });
    assert.equal((await hasty.exec("box", "sleep 0.3; echo done")).output, "done\n");
    api.intercept = () => true;
    await rejects(hasty.list(), { code: "timeout", message: `${api.url} did not answer within 0.05 s` });
  });

  it("findJob gives the job, or null when there is none", async () => {
    api.play = () => {};
    const { requestId } = await mags.run("x", { name: "box" });
    assert.equal((await mags.findJob("box"))?.id, requestId);
    assert.equal(await mags.findJob("nobody"), null);
    assert.equal(await mags.findJob("usage"), null);
    assert.equal(await mags.findJob(".."), null);
    reply("/box", 503, { error: "later" });
    await rejects(mags.findJob("box"), { statusCode: 503 });
  });

  it("the other methods give the server's objects", async () => {
    api.play = (job) => job.write("stdout", "one\n");
    const { requestId } = await mags.run("x", { name: "box" });
    assert.equal((await mags.status("box")).request_id, requestId);
    assert.equal((await mags.logs("box", { offset: 0 })).logs.length, 1);
    assert.equal((await mags.list({ page: 1, pageSize: 5, status: "running" })).total, 1);
    assert.equal(api.requests.at(-1)?.query.toString(), "page=1&page_size=5&status=running");
    assert.equal((await mags.events("box")).events.length, 2);
    assert.equal((await mags.usage({ windowDays: 7 })).total_jobs, 12);
    assert.equal((await mags.poolStatus()).idle_vms, 9);
    assert.equal((await mags.me()).role, "admin");
    assert.equal((await mags.listTokens()).tokens.length, 1);
    assert.equal((await mags.createToken("ci")).token, TOKEN);
    assert.deepEqual(api.requests.at(-1)?.body, { name: "ci" });
    assert.ok((await mags.deleteToken("0b6f9c54-41c1-4a6e-8a55-6f7c9d1e2a3b")).success);
    api.jobs[0]?.exit(0);
    assert.ok((await mags.stop(requestId)).success);
  });

  it("takes names apart from the path they stand in", async () => {
    await rejects(mags.status("a/../b?c"), { statusCode: 404, code: "job_not_found" });
    assert.equal(api.requests.at(-1)?.path, "/api/v1/mags-jobs/a%2F..%2Fb%3Fc/status");
  });

  it("rejects with the server's text, status, code and body", async () => {
    reply("/me", 409, { error: "no VM", code: "no_vm", more: 1 });
    await rejects(mags.me(), {
      message: "no VM",
      statusCode: 409,
      code: "no_vm",
      body: { error: "no VM", code: "no_vm", more: 1 },
    });
    reply("/me", 418, { message: "a teapot" });
    await rejects(mags.me(), { message: "a teapot", statusCode: 418, code: undefined });
    reply("/me", 500, "broken");
    await rejects(mags.me(), { message: `${api.url} answered with HTTP status 500: "broken"`, statusCode: 500 });
  });

  it("takes an empty reply for a success", async () => {
    api.intercept = (_, response) => {
      response.writeHead(200).end();
      return true;
    };
    assert.deepEqual(await mags.stop("box"), {});
  });

  it("rejects when a reply is cut, and when there is no server", async () => {
    api.intercept = (_, response) => {
      response.writeHead(200, { "content-length": "100" });
      response.write("{", () => response.destroy());
      return true;
    };
    await rejects(mags.me(), { code: "unreachable", statusCode: undefined });
    const port = await freePort();
    const nowhere = new Mags({ apiToken: TOKEN, apiUrl: `http://127.0.0.1:${port}` });
    await rejects(nowhere.me(), {
      code: "unreachable",
      message: `cannot reach the Mags server at http://127.0.0.1:${port}: connection refused`,
    });
  });

  it("repeats a question whose kept connection the server had closed", async () => {
    await mags.me();
    let refused = 0;
    api.intercept = (_, response) => {
      if (refused++ > 0) return false;
      response.destroy();
      return true;
    };
    assert.equal((await mags.me()).role, "admin");
    assert.equal(refused, 2);
  });

  it("cannot be made without a token or with an address that is none", () => {
    assert.throws(() => new Mags({ apiToken: "a b" }), { code: "invalid_argument" });
    assert.throws(() => new Mags({ apiToken: TOKEN, apiUrl: "localhost:80" }), { code: "invalid_argument" });
    assert.equal(DEFAULT_API_URL, "http://127.0.0.1:7777");
  });
});

function lineOf(result: IteratorResult<LogEntry, unknown>): string | undefined {
  return result.done ? undefined : result.value.message;
}

async function freePort(): Promise<number> {
  const server = createServer();
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const { port } = server.address() as { port: number };
  await new Promise((resolve) => server.close(resolve));
  return port;
}

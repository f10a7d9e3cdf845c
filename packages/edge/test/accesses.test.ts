/** What an edge tells of requests, over connections that are lost. */
import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { type LogFields, type Logger, silentLogger } from "@mags/core";
import { type GuestId, newJobId, type UrlAccess, type UrlRegister } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import { connectUpstream, startEdgeServer } from "../src/index.ts";
import { createWhole, newSecret, soon } from "./apart.ts";
import { startLossyProxy } from "./lossy-proxy.ts";

const HOST = "port-81.example";
const accessOf = (guest: GuestId, path: string, host = HOST): UrlAccess => ({
  ...{ atMs: 1, host, guest, clientAddress: "192.0.2.1", method: "GET", path },
  ...{ status: 200, durationMs: 1, bytesIn: 0, bytesOut: 0 },
});

/** An edge and its server, with a lossy connection. @param register  In place of what the whole has */
async function startStage(
  whole: ReturnType<typeof createWhole>,
  register: (cut: () => void) => Partial<UrlRegister> = () => ({}),
) {
  await using scope = new AsyncDisposableStack();
  const secret = newSecret();
  const refused: LogFields[] = [];
  const log: Logger = {
    ...silentLogger,
    info: (event, fields = {}) => void (event === "edge.access_refused" && refused.push(fields)),
    child: () => log,
  };
  const at = { host: "127.0.0.1", secret };
  let cut = () => {};
  const urls = { ...whole.upstream.urls, ...register(() => cut()) };
  const server = scope.use(await startEdgeServer({ upstream: { ...whole.upstream, urls }, log }, { ...at, port: 0 }));
  const proxy = scope.use(await startLossyProxy(server.port));
  cut = proxy.cut;
  const edge = scope.use(connectUpstream({ log: silentLogger }, { ...at, port: proxy.port }));
  await edge.connected({ signal: soon() });
  const owned = scope.move();
  return { edge, refused, [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

describe("what an edge tells of requests", () => {
  const pathsOf = (accesses: readonly UrlAccess[]) => accesses.map(({ path }) => path);

  it("counts once when the answer is lost after it was taken", async () => {
    const whole = createWhole();
    await using stage = await startStage(whole, (cut) => ({
      note(access) {
        whole.upstream.urls.note(access);
        if (whole.accesses.length === 3) cut();
      },
    }));
    await stage.edge.urls.route({ host: HOST, pass: null }, { signal: soon() });
    for (const path of ["/1", "/2", "/3"]) stage.edge.urls.note(accessOf(whole.guest, path));
    await waitFor(() => whole.accesses.length >= 3, { what: "the first" });
    stage.edge.urls.note(accessOf(whole.guest, "/4"));
    await waitFor(() => pathsOf(whole.accesses).includes("/4"), { what: "the last" });
    assert.deepEqual(pathsOf(whole.accesses), ["/1", "/2", "/3", "/4"]);
  });

  it("counts once when it is told again while it is still looked at", async () => {
    const whole = createWhole();
    const [lost, later] = [Promise.withResolvers<void>(), Promise.withResolvers<void>()];
    await using stage = await startStage(whole, (cut) => ({
      async areOf(hosts) {
        cut();
        lost.resolve();
        await later.promise;
        return await whole.upstream.urls.areOf(hosts);
      },
    }));
    stage.edge.urls.note(accessOf(whole.guest, "/1"));
    await lost.promise;
    await waitFor(() => stage.edge.urls.route({ host: HOST, pass: null }, { signal: soon() }).catch(() => null), {
      what: "another connection",
    });
    stage.edge.urls.note(accessOf(whole.guest, "/2"));
    await waitFor(() => whole.accesses.length > 0, { what: "what is told after it" });
    later.resolve();
    await waitFor(() => whole.accesses.length > 1, { what: "it" });
    assert.deepEqual(pathsOf(whole.accesses), ["/2", "/1"]);
  });

  it("is taken of guests to which a URL has led it, whatever the directory says of them by then", async () => {
    const whole = createWhole();
    await using stage = await startStage(whole, () => ({ areOf: async (hosts) => hosts.map(() => false) }));
    await stage.edge.urls.route({ host: HOST, pass: null }, { signal: soon() });
    stage.edge.urls.note(accessOf(whole.guest, "/1"));
    await waitFor(() => whole.accesses.length > 0, { what: "it" });
    assert.deepEqual(stage.refused, []);
  });

  it("is taken of these while it is not known yet what holds of others", async () => {
    const whole = createWhole();
    const later = Promise.withResolvers<void>();
    await using stage = await startStage(whole, () => ({
      async areOf(hosts) {
        await later.promise;
        return hosts.map(() => true);
      },
    }));
    await stage.edge.urls.route({ host: HOST, pass: null }, { signal: soon() });
    stage.edge.urls.note(accessOf(newJobId(), "/1"));
    stage.edge.urls.note(accessOf(whole.guest, "/2"));
    await waitFor(() => whole.accesses.length > 0, { what: "what is told with it" });
    stage.edge.urls.note(accessOf(whole.guest, "/3"));
    await waitFor(() => whole.accesses.length > 1, { what: "what is told after it" });
    later.resolve();
    await waitFor(() => whole.accesses.length > 2, { what: "that of the other" });
    assert.deepEqual(pathsOf(whole.accesses), ["/2", "/3", "/1"]);
  });

  it("is taken of others where the host is that guest's, and else refused, which the log says", async () => {
    const whole = createWhole();
    await using stage = await startStage(whole);
    const stranger = newJobId();
    stage.edge.urls.note(accessOf(stranger, "/1"));
    stage.edge.urls.note(accessOf(whole.guest, "/2", "else.example"));
    stage.edge.urls.note(accessOf(whole.guest, "/3"));
    await waitFor(() => whole.accesses.length > 0, { what: "what holds" });
    assert.deepEqual(pathsOf(whole.accesses), ["/3"]);
    assert.deepEqual(stage.refused, [{ address: "127.0.0.1", host: HOST, guest: stranger }]);
  });
});

import assert from "node:assert/strict";
import { subscribe, unsubscribe } from "node:diagnostics_channel";
import type { Server } from "node:net";
import { describe, it } from "node:test";
import { AppError } from "@mags/core";
import type { SshNote } from "@mags/domain";
import { waitFor } from "@mags/test-kit";
import type { EdgeUpstream } from "../src/index.ts";
import { connectApart, createWhole, soon } from "./apart.ts";

const note: SshNote = { what: "ended", login: "box", clientAddress: "192.0.2.1", user: null, data: {} };

describe("the calls of an edge", () => {
  it("leave room for who signs in, however many users connect, and for them, however many strangers use URLs", {
    timeout: 60_000,
  }, async () => {
    const whole = createWhole();
    const never: EdgeUpstream["node"]["connect"] = (_guest, _at, { signal }) =>
      new Promise((_resolve, reject) => signal.addEventListener("abort", () => reject(signal.reason), { once: true }));
    const upstream = { ...whole.upstream, node: Object.assign(Object.create(whole.upstream.node), { connect: never }) };
    await using apart = await connectApart(upstream);
    await whole.signIn(apart);
    await apart.urls.route({ host: "port-81.example", pass: null }, { signal: soon() });
    const leaving = new AbortController();
    const refusal = (error: AppError) => error.code === "too_many_requests";
    const visit = () => apart.visits.connect(whole.guest, { host: "127.0.0.1", port: 81 }, { signal: leaving.signal });
    const visits = Array.from({ length: 10_240 }, () => visit().catch(() => {}));
    await assert.rejects(visit(), refusal);
    let refused = 0;
    const connections = Array.from({ length: 4_096 }, () =>
      apart.node
        .connect(whole.guest, { host: "127.0.0.1", port: 22 }, { signal: leaving.signal })
        .catch((error: AppError) => {
          if (refusal(error)) refused++;
        }),
    );
    assert.equal(await whole.signIn(apart), whole.guest);
    apart.directory.note(note);
    await waitFor(() => whole.notes.length === 1, { what: "the note" });
    assert.equal(refused, 256);
    leaving.abort();
    await Promise.all([...connections, ...visits]);
  });

  it("tell notes again that found too much to do", { timeout: 30_000 }, async () => {
    const whole = createWhole();
    let refusals = 2;
    const take = (one: SshNote) => {
      if (refusals-- > 0) throw new AppError("too_many_requests", "later");
      whole.upstream.directory.note(one);
    };
    await using apart = await connectApart({
      ...whole.upstream,
      directory: { ...whole.upstream.directory, note: take },
    });
    apart.directory.note(note);
    await waitFor(() => whole.notes.length === 1, { what: "the note" });
  });

  it("go on when a connection cannot be taken", { timeout: 30_000 }, async () => {
    const servers: Server[] = [];
    const onListen = (message: unknown) => void servers.push((message as { readonly server: Server }).server);
    subscribe("tracing:net.server.listen:asyncStart", onListen);
    const whole = createWhole();
    await using apart = await connectApart(whole.upstream);
    unsubscribe("tracing:net.server.listen:asyncStart", onListen);
    assert.equal(servers.length, 1);
    servers[0]?.emit("error", new Error("accept EMFILE"));
    assert.equal(await whole.signIn(apart), whole.guest);
  });
});

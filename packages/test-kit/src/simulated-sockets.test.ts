import assert from "node:assert/strict";
import { once } from "node:events";
import { connect, type Socket } from "node:net";
import { afterEach, describe, it } from "node:test";
import { newJobId } from "@mags/domain";
import { createSimulatedSockets } from "./simulated-sockets.ts";

describe("simulated sockets", () => {
  const sockets = createSimulatedSockets({ awaken: () => {} });
  const id = newJobId();
  const quietly = { signal: new AbortController().signal };
  const at = { host: "localhost", port: 0 };
  const clients: Socket[] = [];
  afterEach(() => {
    for (const client of clients.splice(0)) client.destroy();
  });

  function dial(port: number | null): Socket {
    const client = connect(port ?? 0, "127.0.0.1").on("error", () => {});
    clients.push(client);
    return client;
  }

  it("let at most 16 connections wait to be accepted", async () => {
    const listener = await sockets.listen(id, at, quietly);
    for (let count = 0; count < 18; count++) dial(listener.port);
    for (let count = 1; count <= 16; count++) assert.equal((await listener.next())?.connection, count);
    let told = false;
    const next = listener.next().then((arrival) => {
      told = true;
      return arrival;
    });
    await once(dial(listener.port), "connect");
    assert.equal(told, false);
    await listener.accept(3);
    assert.equal((await next)?.connection, 17);
    await assert.rejects(listener.accept(3), { code: "guest_failed" });
    const waits = listener.next();
    listener.close();
    await assert.rejects(waits, { code: "guest_failed" });
  });

  it("refuse as those of a guest do", async () => {
    const listener = await sockets.listen(id, at, quietly);
    const taken = { host: "127.0.0.1", port: listener.port ?? 0 };
    await assert.rejects(sockets.listen(id, taken, quietly), { code: "connection_refused" });
    listener.close();
    await assert.rejects(sockets.connect(id, { path: "/no/socket" }, quietly), { code: "connection_refused" });
  });

  it("end both directions apart, and are reset unless they have ended", async () => {
    const going = new AbortController();
    const listener = await sockets.listen(id, at, { signal: going.signal });
    const to = { host: "127.0.0.1", port: listener.port ?? 0 };
    const there = await sockets.connect(id, to, quietly);
    const here = await listener.accept((await listener.next())?.connection ?? 0);
    await there.write(Buffer.from("question"));
    await there.end();
    assert.equal(String(await here.read()), "question");
    assert.equal(await here.read(), null);
    await here.write(Buffer.from("answer"));
    assert.equal(String(await there.read()), "answer");
    going.abort(new Error("he has gone"));
    await assert.rejects(there.read(), /ECONNRESET/);
    await assert.rejects(listener.next(), /he has gone/);
    there.close();
  });
});

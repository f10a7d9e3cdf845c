import assert from "node:assert/strict";
import { once } from "node:events";
import { type AddressInfo, connect, createServer, type Socket } from "node:net";
import { text } from "node:stream/consumers";
import { after, before, describe, it } from "node:test";
import { closeLingering } from "./close-lingering.ts";

describe("a connection that is closed lingering", { timeout: 20_000 }, () => {
  const server = createServer({ allowHalfOpen: true });
  before(() => once(server.listen(0, "127.0.0.1"), "listening"));
  after(() => server.close());

  const closed = (socket: Socket) => new Promise((resolve) => socket.once("close", resolve));
  async function open(): Promise<{ readonly client: Socket; readonly own: Socket }> {
    const taken = once(server, "connection");
    const client = connect({ port: (server.address() as AddressInfo).port, allowHalfOpen: true });
    const [own] = await taken;
    own.on("error", () => {});
    return { client: client.on("error", () => {}), own };
  }

  it("is over when the other end keeps silent", async () => {
    const { client, own } = await open();
    closeLingering(own);
    await closed(own);
    client.destroy();
  });

  it("is over when the other end never stops sending, which has the last words nevertheless", async () => {
    const { client, own } = await open();
    const more = () => void (client.write(Buffer.alloc(65_536)) && setImmediate(more));
    client.on("drain", more);
    more();
    const heard = text(client);
    closeLingering(own, "goodbye");
    await closed(own);
    assert.equal(await heard, "goodbye");
    client.destroy();
  });

  it("is over when the other end has left", async () => {
    for (const leave of [(client: Socket) => client.end(), (client: Socket) => client.resetAndDestroy()]) {
      const { client, own } = await open();
      leave(client);
      closeLingering(own, "goodbye");
      await closed(own);
      client.destroy();
    }
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer, type Server, type ServerResponse } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { text } from "node:stream/consumers";
import { afterEach, beforeEach, describe, it } from "node:test";
import { pipelining } from "./pipelining.ts";

const ask = "GET / HTTP/1.1\r\nHost: box\r\n\r\n";
const last = "GET / HTTP/1.1\r\nHost: box\r\nConnection: close\r\n\r\n";

describe("a connection on which requests come before those ahead are answered", { timeout: 20_000 }, () => {
  let server: Server;
  let taken: ServerResponse[];
  beforeEach(async () => {
    taken = [];
    server = createServer(pipelining(), (_request, response) => {
      taken.push(response);
    });
    await once(server.listen(0, "127.0.0.1"), "listening");
  });
  afterEach(() => {
    server.closeAllConnections();
    server.close();
  });
  const dial = () => connect((server.address() as AddressInfo).port, "127.0.0.1").on("error", () => {});

  it("has some of them served, all at once, and answered in order", async () => {
    server.on("request", () => {
      if (taken.length === 16) for (const [at, response] of taken.entries()) response.end(`<${at}>`);
    });
    const client = dial();
    client.write(ask.repeat(15) + last);
    assert.equal((await text(client)).match(/<\d+>/g)?.join(""), taken.map((_, at) => `<${at}>`).join(""));
  });

  it("is closed when there are more, and nothing of it is kept", async () => {
    const client = dial().resume();
    client.write(ask.repeat(5_000));
    await new Promise((resolve) => client.once("close", resolve));
    assert.equal(client.bytesRead, 0);
    assert.ok(taken.length < 5_000, "all of them were taken");
    assert.ok(taken.every(({ socket }) => socket?.destroyed !== false));
  });

  it("goes on as long as those before are answered", async () => {
    server.on("request", (_request, response) => void response.end("."));
    const client = dial();
    for (let n = 0; n < 40; n++) {
      client.write(ask);
      await once(client, "data");
    }
    client.destroy();
    assert.equal(taken.length, 40);
  });
});

import assert from "node:assert/strict";
import { once } from "node:events";
import { createServer } from "node:http";
import { connect } from "node:net";
import { describe, it } from "node:test";
import { waitFor } from "@mags/test-kit";
import { listening, startUrlFront } from "./url-front.ts";

describe("the end of a gateway of URLs", () => {
  it("lets what is under way be answered, takes no new connections, and has clients leave with their next answer", async () => {
    const answering = Promise.withResolvers<void>();
    await using guest = createServer(async (from, to) => {
      if (from.url === "/slow") await answering.promise;
      to.end(`answered ${from.url}`);
    });
    const front = await startUrlFront(await listening(guest));
    const client = connect(front.port, "127.0.0.1").setEncoding("latin1");
    let heard = "";
    client.on("data", (text: string) => {
      heard += text;
    });
    const ask = (path: string) => client.write(`GET ${path} HTTP/1.1\r\nHost: box.example\r\n\r\n`);
    ask("/slow");
    await waitFor(() => front.dialled === 1, { what: "the request at the guest" });
    const ended = front[Symbol.asyncDispose]();
    await assert.rejects(once(connect(front.port, "127.0.0.1"), "connect"), /ECONNREFUSED/);
    answering.resolve();
    await waitFor(() => heard.includes("answered /slow"), { what: "the answer" });
    ask("/last");
    await waitFor(() => /connection: close\r\n[\s\S]*answered \/last$/i.test(heard), { what: "the last answer" });
    client.end(); // as it was told
    await ended;
    guest.closeAllConnections();
  });
});

import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { once } from "node:events";
import { describe, it } from "node:test";
import { createTxtLookUp } from "./txt-records.ts";

describe("createTxtLookUp", () => {
  it("gives up a server that does not answer", async () => {
    const silent = createSocket("udp4");
    try {
      silent.bind(0, "127.0.0.1");
      await once(silent, "listening");
      const lookUp = createTxtLookUp([`127.0.0.1:${silent.address().port}`], { deadlineMs: 50 });
      await assert.rejects(lookUp("a.example.org"), /no answer about a\.example\.org in 50 ms/);
    } finally {
      silent.close();
    }
  });
});

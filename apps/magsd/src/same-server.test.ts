import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isSameServer } from "./same-server.ts";

describe("isSameServer", () => {
  it("compares scheme, host and port, whatever the path", () => {
    const own = ["https://mags.example", "http://127.0.0.1:7777"];
    for (const url of ["https://mags.example:443/api/v1", "http://127.0.0.1:7777/", "http://localhost:7777"])
      assert.equal(isSameServer(url, own), true, url);
    for (const url of [
      "http://mags.example",
      "http://127.0.0.1:7778",
      "http://198.51.100.1:7777",
      "",
      "localhost:7777",
    ])
      assert.equal(isSameServer(url, own), false, url);
  });

  it("knows a server that listens everywhere by the address of loopback", () => {
    assert.equal(isSameServer("http://127.0.0.1:7777", ["http://0.0.0.0:7777"]), true);
    assert.equal(isSameServer("http://127.0.0.1:7777", ["http://[::]:7777"]), true);
  });
});

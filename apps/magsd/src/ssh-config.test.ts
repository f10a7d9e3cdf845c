import assert from "node:assert/strict";
import { hostname } from "node:os";
import { describe, it } from "node:test";
import { publicSshHost, SshConfig } from "./ssh-config.ts";

describe("publicSshHost", () => {
  const at = (keys: object, publicUrl?: string) => publicSshHost(SshConfig.parse(keys), publicUrl);

  it("is what the configuration says, else the host of the API, else the address that is listened on", () => {
    assert.equal(at({}), "127.0.0.1");
    assert.equal(at({ listen: { host: "192.0.2.7" } }), "192.0.2.7");
    assert.equal(at({ listen: { host: "0.0.0.0" } }, "https://mags.example.com/x"), "mags.example.com");
    assert.equal(at({}, "http://[2001:db8::1]:7777"), "2001:db8::1");
    assert.equal(at({ public_host: "ssh.example.com" }, "https://mags.example.com"), "ssh.example.com");
  });

  it("is the name of this machine where all of its addresses are listened on", () => {
    assert.equal(at({ listen: { host: "::" } }), hostname());
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import type { AgentConnection } from "../agent/index.ts";
import { checkAddress, numericAddresses } from "./guest-addresses.ts";

const signal = new AbortController().signal;

function looksUp(stdout: string, exitCode = 0) {
  const asked: (readonly unknown[] | undefined)[] = [];
  const run: AgentConnection["run"] = async ({ argv }) => {
    asked.push(argv);
    const how = { timedOut: false, truncated: false, durationNs: 0 };
    return { exitCode, stdout: Buffer.from(stdout), stderr: Buffer.alloc(0), ...how };
  };
  return { asked, find: (host: string) => numericAddresses({ run }, { host, port: 80 }, { signal }) };
}

describe("addresses as a guest knows them", () => {
  it("are each address of a name once, four at most", async () => {
    const lines = ["1.1.1.1", "1.1.1.1", "fe80::1%eth0", "nonsense", "2::2", "3::3", "4.4.4.4", "5.5.5.5"];
    const { asked, find } = looksUp(lines.map((line) => `${line}   STREAM x\n`).join(""));
    const found = await find("some.name");
    const expected = ["1.1.1.1", "2::2", "3::3", "4.4.4.4"];
    assert.deepEqual(
      found,
      expected.map((address) => ({ address, port: 80 })),
    );
    assert.deepEqual(asked, [["getent", "ahosts", "--", "some.name"]]);
  });

  it("are both of the loopback, without asking", async () => {
    const { asked, find } = looksUp("");
    for (const host of ["localhost", "*", ""])
      assert.deepEqual(await find(host), [
        { address: "127.0.0.1", port: 80 },
        { address: "::1", port: 80 },
      ]);
    assert.deepEqual(await find("9.9.9.9"), [{ address: "9.9.9.9", port: 80 }]);
    assert.deepEqual(asked, []);
  });

  it("may be unknown", async () => {
    const code = "connection_refused";
    await assert.rejects(looksUp("", 2).find("x"), { code, message: /does not know that name/ });
    await assert.rejects(looksUp("nothing", 0).find("x"), { code, message: /cannot look it up/ });
  });

  it("are refused where there can be none", () => {
    const code = "validation_failed";
    for (const host of ["-s", "a\0b", "fe80::1%eth0"])
      assert.throws(() => checkAddress({ host, port: 1 }, { lowestPort: 1 }), { code });
    for (const port of [0, 65_536, 0.5, Number.NaN])
      assert.throws(() => checkAddress({ host: "x", port }, { lowestPort: 1 }), { code });
    checkAddress({ host: "x", port: 0 }, { lowestPort: 0 });
    checkAddress({ host: "x", port: 65_535 }, { lowestPort: 1 });
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { isEndlessSleep } from "./endless-sleep.ts";

describe("isEndlessSleep", () => {
  it("knows the ways in which people write it", () => {
    for (const script of [
      "sleep infinity",
      "#!/bin/sh\n# stays\n\n  exec  sleep infinity ;\n",
      "sleep inf",
      "tail -f /dev/null",
      "while true; do sleep 3600; done",
      "while :\ndo\n  sleep 1d\ndone\n",
      "while true; do\n  sleep 60\ndone",
    ])
      assert.equal(isEndlessSleep(script), true, script);
  });

  it("takes nothing else for one", () => {
    for (const script of [
      "",
      "sleep 60",
      "sleep infinity &",
      "sleep infinity; echo done",
      "echo hi\nsleep infinity",
      "tail -f /var/log/syslog",
      "while true; do work; sleep 1; done",
      "while read x; do sleep 1; done",
      "sleep infinity || reboot",
    ])
      assert.equal(isEndlessSleep(script), false, script);
  });

  it("does not look into long scripts", () => {
    const begun = performance.now();
    for (const line of ["a\n", "do ", " "]) assert.equal(isEndlessSleep(line.repeat(2 ** 20 / line.length)), false);
    assert.ok(performance.now() - begun < 100);
  });
});

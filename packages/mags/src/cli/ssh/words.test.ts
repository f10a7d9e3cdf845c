import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { parseSshWords } from "./words.ts";

const parse = (line: string) => parseSshWords(line.split(" "));

describe("parseSshWords", () => {
  it("takes a name alone, and one with a command", () => {
    assert.deepEqual(parse("box"), { options: [], name: "box", command: [] });
    assert.deepEqual(parse("box ls -l"), { options: [], name: "box", command: ["ls", "-l"] });
    assert.deepEqual(parse("box -- -x y"), { options: [], name: "box", command: ["-x", "y"] });
  });

  it("takes options before the name and behind it, with values in the same word or the next", () => {
    assert.deepEqual(parse("-L 80:h:80 -vA box -D1080 -NL 1:h:2 -o A=b"), {
      options: ["-L", "80:h:80", "-vA", "-D1080", "-NL", "1:h:2", "-o", "A=b"],
      name: "box",
      command: [],
    });
    assert.deepEqual(parse("box -T -D 1080 bash -s"), {
      options: ["-T", "-D", "1080"],
      name: "box",
      command: ["bash", "-s"],
    });
  });

  it("leaves the words of a command alone, whatever they look like", () => {
    assert.deepEqual(parse("box cat -- -l -p").command, ["cat", "--", "-l", "-p"]);
    assert.deepEqual(parse("-- box -v x"), { options: ["-v"], name: "box", command: ["x"] });
    assert.deepEqual(parse("box -").command, ["-"]);
  });

  it("takes letters in a value for what they are", () => {
    assert.deepEqual(parse("-D lp box").options, ["-D", "lp"]);
    assert.deepEqual(parse("-Slp box").options, ["-Slp"]);
    assert.deepEqual(parse("-Soi -oUserKnownHostsFile=x box").options, ["-Soi", "-oUserKnownHostsFile=x"]);
    assert.deepEqual(parse("box ssh -i k -o User=x").command, ["ssh", "-i", "k", "-o", "User=x"]);
    assert.throws(() => parseSshWords(["box", "-o", " User me"]), /-o User is not for you to say/);
  });

  it("refuses what cannot be meant", () => {
    for (const [line, message] of [
      ["-v", /a name is required/],
      ["box -L", /-L needs a value/],
      ["-l me box", /-l is not for you to say/],
      ["-vp 22 box", /-p is not for you to say/],
      ["-i key box", /-i is not for you to say/],
      ["box -vikey", /-i is not for you to say/],
      ["-o User=me box", /-o User is not for you to say/],
      ["box -voport=22 ls", /-o port is not for you to say/],
      ["-oIdentityFile=x box", /-o IdentityFile is not for you to say/],
      ["--verbose box", /ssh has no option --verbose/],
    ] as const)
      assert.throws(() => parse(line), message, line);
  });
});

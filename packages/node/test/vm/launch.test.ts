import assert from "node:assert/strict";
import { after, before, it } from "node:test";
import { cloneArguments } from "../../src/qemu/command-line.ts";
import { openTestHost, type TestHost } from "./support.ts";

let testHost: TestHost;
before(async () => {
  testHost = await openTestHost();
});
after(() => testHost[Symbol.asyncDispose]());

it("a QEMU that does not start is an error at once, with how it ended and what it said, and leaves nothing", async () => {
  const { host, template } = testHost;
  const launch = (args: readonly string[], imageDirectory: string) =>
    host.launch({
      templateKey: template.key,
      args,
      accelerator: "tcg",
      template: { directory: template.directory, writable: [] },
      imageDirectory,
      size: template.shape,
      mostFileBytes: 1024 ** 3,
      maxFileBytes: 1024 ** 2,
      idlePriority: false,
    });
  const { directory } = template.image;
  const args = cloneArguments(template.shape);
  await assert.rejects(launch([...args, "-device", "nonsense"], directory), /ended with code 1 .*'nonsense' is not a/);
  await assert.rejects(launch(args, "/nowhere"), /ended with code 125 .*bind \/nowhere on \/image: No such file/);
  assert.equal(host.templatesInUse().size, 0);
});

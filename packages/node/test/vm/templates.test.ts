import assert from "node:assert/strict";
import { readdir } from "node:fs/promises";
import { dirname } from "node:path";
import { after, before, it } from "node:test";
import { openTestHost, type TestHost } from "./support.ts";

let testHost: TestHost;
before(async () => {
  testHost = await openTestHost();
});
after(() => testHost[Symbol.asyncDispose]());

it("templates of other sizes are built once however many ask, and removed when too many are kept and none is made from them", async () => {
  const { templates, image, template, logged, host } = testHost;
  const { microVm } = await testHost.park({ mounted: true });
  const size = (memoryMiB: number) => ({ vcpus: 1, memoryMiB });
  const [first, again] = await Promise.all([templates.get(image, size(192)), templates.get(image, size(192))]);
  assert.equal(first.key, again.key);
  assert.equal(logged.filter((event) => event === "template.built").length, 2);
  const second = await templates.get(image, size(200));
  const names = async () => (await readdir(dirname(template.directory))).toSorted();
  assert.deepEqual(await names(), [template.key, second.key].toSorted());
  assert.equal(await templates.has(image, size(192)), false);
  await host.release(microVm);
});

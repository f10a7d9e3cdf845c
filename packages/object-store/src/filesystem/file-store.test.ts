import { describeObjectStore, makeTempDir } from "@mags/test-kit";
import { makeFileStore, openFileStore } from "./open-file-store.ts";

describeObjectStore("filesystem", {
  async open() {
    const dir = await makeTempDir();
    await makeFileStore(`${dir.path}/objects`);
    const store = await openFileStore(`${dir.path}/objects`);
    return { ...store, [Symbol.asyncDispose]: () => dir[Symbol.asyncDispose]() };
  },
  refusesFoldersInTheWay: true,
});

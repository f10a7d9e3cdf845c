import { describeObjectStore } from "@mags/test-kit";
import { createMemoryStore } from "./memory-store.ts";

describeObjectStore("memory", {
  open: async () => ({ ...createMemoryStore(), async [Symbol.asyncDispose]() {} }),
  refusesFoldersInTheWay: true,
});

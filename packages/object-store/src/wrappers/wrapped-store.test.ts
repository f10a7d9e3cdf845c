import { silentLogger } from "@mags/core";
import { describeObjectStore } from "@mags/test-kit";
import { createMemoryStore } from "../memory/memory-store.ts";
import { limitStore } from "./limit-store.ts";
import { retryStore } from "./retry-store.ts";

describeObjectStore("memory, with limits and retries", {
  async open() {
    const limited = limitStore(createMemoryStore(), { concurrency: 2 });
    const deps = { log: silentLogger, random: Math.random };
    const store = retryStore(limited, deps, { deadlineMs: 60_000, firstPauseMs: 1, maxPauseMs: 1 });
    return { ...store, async [Symbol.asyncDispose]() {} };
  },
  refusesFoldersInTheWay: true,
});

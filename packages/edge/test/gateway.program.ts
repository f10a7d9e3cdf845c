/** A gateway in a process of its own, which tells what memory it takes. Started by memory.test.ts. */
import { setFlagsFromString } from "node:v8";
import { runInNewContext } from "node:vm";
import { startTestGateway } from "./harness.ts";

setFlagsFromString("--expose-gc");
const collect = runInNewContext("gc") as () => void; // which the flag makes

const test = await startTestGateway({
  strangers: 2_000,
  connections: 2_000,
  accountConnections: 2_000,
  signInMs: 3_000,
});
process.on("message", (ask) => {
  if (ask === "end") {
    void test[Symbol.asyncDispose]().then(() => process.disconnect());
    return;
  }
  collect();
  const { heapUsed, external } = process.memoryUsage();
  process.send?.({ bytes: heapUsed + external });
});
process.send?.({ port: test.gateway.port, keyFile: test.keyFile });

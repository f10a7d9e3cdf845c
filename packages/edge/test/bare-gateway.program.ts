/** A gateway in front of commands of this machine, for benchmarks: prints how to sign in to it, one line of JSON, and ends with its stdin. */
import { startTestGateway } from "./harness.ts";

/** As the server has them. */
const LIMITS = { signInMs: 30_000, channels: 64, connections: 1_000, accountConnections: 1_000, strangers: 20 };

await using gateway = await startTestGateway(LIMITS);
const { port } = gateway.gateway;
const told = { port, user: "box", keyFile: gateway.keyFile, options: gateway.options(), folder: gateway.runFolder };
process.stdout.write(`${JSON.stringify(told)}\n`);
for await (const _ of process.stdin); // until it is closed

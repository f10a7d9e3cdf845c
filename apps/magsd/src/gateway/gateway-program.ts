/** The program of a server's gateway, apart from the server's: it begins sooner and takes less memory. */
import { countBuffersAsHeap } from "@mags/core";
import { runGateway } from "./run-gateway.ts";

countBuffersAsHeap();
await runGateway();
// Connections to clients may still hold the event loop.
process.exit(0);

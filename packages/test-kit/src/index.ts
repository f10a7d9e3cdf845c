export { type ApiClient, type ApiReply, type CallOptions, createApiClient } from "./api-client.ts";
export { type Artifacts, findArtifacts } from "./artifacts.ts";
export { collectAll } from "./collect-all.ts";
export { parseEventStream, type StreamEvent } from "./event-stream.ts";
export { createSimulatedLog, type SimulatedLog } from "./simulated-log.ts";
export { createSimulatedNode, type SimulatedNode, type SimulatedNodeOptions } from "./simulated-node.ts";
export { runDirectives, type SimulatedProgram, type SimulatedRun } from "./simulated-program.ts";
export { makeTempDir, type TempDir } from "./temp-dir.ts";
export { type WaitOptions, waitFor } from "./wait-for.ts";

export { NodeConfig } from "./config.ts";
export { type HostCheckDeps, hostChecks } from "./host/checks.ts";
export { writeFileDurably } from "./host/files.ts";
export { runtimeOf } from "./images/artifacts.ts";
export { footprintAtRest } from "./leaks/at-rest.ts";
export { observeNode } from "./leaks/observe-node.ts";
export { type Expected, judge, mergeFootprints, type NodeFootprint, type Owner, type Trace } from "./leaks/trace.ts";
export { type Node, type NodeOptions, openNode } from "./open-node.ts";
export { removeNode } from "./remove-node.ts";

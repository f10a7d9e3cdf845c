export { type RunResult, run, start } from "./run.ts";
export { type ServerOptions, startServer, type TestServer } from "./server.ts";
export { accessTo, sshOptions } from "./ssh.ts";
export { untilParkedOnly } from "./traces.ts";

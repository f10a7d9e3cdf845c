/** The agent as an ordinary process on this host, for tests: built when its sources are newer, run over two sockets. */
import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import { mkdirSync } from "node:fs";
import { join, resolve } from "node:path";
import type { Duplex } from "node:stream";
import { promisify } from "node:util";
import { silentLogger } from "@mags/core";
import { makeTempDir } from "@mags/test-kit";
import { type AgentConnection, type ConnectOptions, connectAgent } from "../../src/agent/index.ts";

const AGENT_DIR = resolve(import.meta.dirname, "../../../../native/agent");

/** `asan`: with address and undefined-behaviour sanitizers. */
export type AgentVariant = "agent" | "agent-asan";
const MAKE_TARGET = { agent: "all", "agent-asan": "asan" } as const;

/** Test files run in parallel processes: one of them builds. */
export async function make(target: string): Promise<void> {
  mkdirSync(join(AGENT_DIR, "build"), { recursive: true });
  await promisify(execFile)("flock", [join(AGENT_DIR, "build/lock"), "make", "-s", "-C", AGENT_DIR, target]);
}

export function built(name: string): string {
  return join(AGENT_DIR, "build", name);
}

export interface HostAgent extends AsyncDisposable {
  readonly pid: number;
  readonly control: Duplex;
  readonly bulk: Duplex;
  /** What the agent takes for the root of its own files (/run/mags, /etc/environment). */
  readonly root: string;
  readonly violations: readonly string[];
  /** Connects over the agent's own sockets, or over others that lead to them. */
  connect(
    ports?: { readonly control: Duplex; readonly bulk: Duplex },
    options?: Partial<ConnectOptions>,
  ): Promise<AgentConnection>;
  /** What the agent or its sanitizers printed. */
  readonly stderr: string;
  /** Resolves with the exit code, or the name of the signal. */
  readonly exited: Promise<number | string>;
}

export async function startHostAgent(variant: AgentVariant = "agent"): Promise<HostAgent> {
  await make(MAKE_TARGET[variant]);
  const root = await makeTempDir();
  const child = spawn(built(variant), ["--fds", "3", "4", "--root", root.path], {
    cwd: root.path,
    stdio: ["ignore", "ignore", "pipe", "pipe", "pipe"],
    env: { ASAN_OPTIONS: "detect_leaks=1:abort_on_error=0:exitcode=99", UBSAN_OPTIONS: "print_stacktrace=1" },
  });
  const exited = new Promise<number | string>((settle, reject) => {
    child.once("error", reject);
    child.once("exit", (code, signal) => settle(code ?? signal ?? "unknown"));
  });
  const [, , , control, bulk] = child.stdio as unknown as Duplex[];
  if (!control || !bulk || child.pid === undefined) throw new Error("the agent could not be started");
  let stderr = "";
  child.stderr?.on("data", (chunk: Buffer) => {
    stderr += chunk.toString();
  });
  // A test that cuts a connection may leave a write behind.
  for (const socket of [control, bulk]) socket.on("error", () => {});
  const violations: string[] = [];
  const connections: AgentConnection[] = [];

  return {
    pid: child.pid,
    control,
    bulk,
    root: root.path,
    violations,
    exited,
    get stderr() {
      return stderr;
    },
    async connect(ports = { control, bulk }, options = {}) {
      const connection = await connectAgent(
        { ...ports, random: randomBytes, onViolation: (reason) => violations.push(reason), log: silentLogger },
        { signal: AbortSignal.timeout(10_000), ...options },
      );
      connections.push(connection);
      return connection;
    },
    async [Symbol.asyncDispose]() {
      for (const connection of connections) await connection[Symbol.asyncDispose]();
      control.destroy();
      bulk.destroy();
      const kill = setTimeout(() => child.kill("SIGKILL"), 5_000);
      const code = await exited;
      clearTimeout(kill);
      await root[Symbol.asyncDispose]();
      if (code !== 0) throw new Error(`the agent ended with ${code}\n${stderr}`);
    },
  };
}

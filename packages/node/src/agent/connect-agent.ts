import { untilAborted } from "@mags/core";
import type { AgentConnection } from "./agent-connection.ts";
import { openAgentConnection } from "./connection.ts";
import type { AgentTransport } from "./session.ts";

export interface ConnectOptions {
  /** Gives the attempt up; has no effect later. */
  readonly signal: AbortSignal;
  /** Called at once: what it sends follows right behind HELLO, in the same write. */
  readonly first?: (connection: AgentConnection) => void;
}

/** Connects over two sockets that are open already, and waits for the guest on both; they are closed when this rejects. */
export async function connectAgent(transport: AgentTransport, options: ConnectOptions): Promise<AgentConnection> {
  const connection = openAgentConnection(transport);
  try {
    if (options.first) {
      const { first } = options;
      connection.batch(() => first(connection));
    }
    await untilAborted(connection.ready, options.signal);
    return connection;
  } catch (error) {
    await connection[Symbol.asyncDispose]();
    throw error;
  }
}

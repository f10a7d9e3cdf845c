/** The sockets that a gateway listens on: one for all jobs, and one for each job's port. Connections outlive them. */
import { once } from "node:events";
import { createServer, type Server, type Socket } from "node:net";
import { type Logger, messageOf } from "@mags/core";

export interface Listeners extends AsyncDisposable {
  /** Of all jobs. */
  readonly port: number;
  /** Listens on these ports beside it and on no others. One call at a time. @returns those that cannot be listened on. */
  set(ports: ReadonlySet<number>): Promise<readonly number[]>;
}

/** @param at  Port 0: one that is free. @throws what listening throws. */
export async function openListeners(
  { take, log }: { readonly take: (socket: Socket) => void; readonly log: Logger },
  at: { readonly host: string; readonly port: number },
): Promise<Listeners> {
  const jobs = new Map<number, Server>();
  /** Also those that listen no more, until their last connection has ended. */
  const open = new Set<Promise<void>>();
  let isClosing = false;

  async function listen(port: number): Promise<Server> {
    const server = createServer(take);
    server.listen(port, at.host);
    await once(server, "listening");
    server.on("error", (error) => log.error("ssh.accept_failed", { port, error: messageOf(error) }));
    const closed = new Promise<void>((resolve) => server.on("close", resolve)).then(() => void open.delete(closed));
    open.add(closed);
    return server;
  }

  const shared = await listen(at.port);
  const { port } = shared.address() as { port: number };
  return {
    port,
    async set(ports) {
      for (const [known, server] of jobs)
        if (!ports.has(known)) {
          jobs.delete(known);
          server.close();
        }
      const failed: number[] = [];
      const add = async (wanted: number) => {
        try {
          const server = await listen(wanted);
          if (isClosing) server.close();
          else jobs.set(wanted, server);
        } catch (error) {
          failed.push(wanted);
          log.warn("ssh.port_unusable", { port: wanted, error: messageOf(error) });
        }
      };
      await Promise.all([...ports].filter((wanted) => !isClosing && !jobs.has(wanted)).map(add));
      return failed;
    },
    /** Resolves when the last connection has ended, too. */
    async [Symbol.asyncDispose]() {
      isClosing = true;
      for (const server of [shared, ...jobs.values()]) server.close();
      await Promise.all(open);
    },
  };
}

/** Passes connections on until it is told to cut them, or to say nothing any more. */
import { once } from "node:events";
import { connect, createServer, type Socket } from "node:net";

export interface LossyProxy extends AsyncDisposable {
  readonly port: number;
  /** Bytes that came from where it leads to. */
  readonly received: number;
  cut(): void;
  /** Both sides think that they are connected. */
  silence(): void;
}

export async function startLossyProxy(to: number): Promise<LossyProxy> {
  const sockets = new Set<Socket>();
  let received = 0;
  const server = createServer((near) => {
    const far = connect(to, "127.0.0.1");
    far.on("data", (bytes) => {
      received += bytes.length;
    });
    for (const [one, other] of [
      [near, far],
      [far, near],
    ] as const) {
      sockets.add(one);
      one
        .on("error", () => {})
        .on("close", () => {
          sockets.delete(one);
          other.destroy();
        });
      one.pipe(other);
    }
  }).listen(0, "127.0.0.1");
  await once(server, "listening");
  const cut = () => {
    for (const socket of sockets) socket.destroy();
  };
  return {
    port: (server.address() as { port: number }).port,
    get received() {
      return received;
    },
    cut,
    silence() {
      for (const socket of sockets) socket.unpipe().resume();
    },
    async [Symbol.asyncDispose]() {
      cut();
      await once(server.close(), "close");
    },
  };
}

import { connect, type Socket } from "node:net";
import { sleep } from "@mags/core";

/** Connects to a socket that QEMU may not have made yet. */
export async function dialUnix(path: string, options: { readonly signal: AbortSignal }): Promise<Socket> {
  for (;;) {
    options.signal.throwIfAborted();
    try {
      return await new Promise<Socket>((resolve, reject) => {
        const socket = connect(path);
        socket.once("connect", () => {
          socket.removeListener("error", reject);
          resolve(socket);
        });
        socket.once("error", reject);
      });
    } catch (error) {
      const code = (error as NodeJS.ErrnoException).code;
      if (code !== "ENOENT" && code !== "ECONNREFUSED" && code !== "EAGAIN") throw error;
      await sleep(3, options);
    }
  }
}

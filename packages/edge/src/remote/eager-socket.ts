import type { Socket } from "node:net";
import { Duplex } from "node:stream";

/**
 * A connected socket, which it owns, with writes that are over at once. Node reads nothing of an HTTP/2 connection while a
 * write there is not over: two ends of which each has more to say than the buffers of the sockets hold would wait for each
 * other for ever. One end that always reads is enough. What waits in it is bounded by what HTTP/2 lets be on its way.
 */
export function eagerSocket(socket: Socket): Duplex {
  const eager = new Duplex({
    read: () => void socket.resume(),
    write(bytes: Uint8Array, _encoding, done) {
      socket.write(bytes);
      done();
    },
    writev(pieces, done) {
      socket.cork();
      for (const { chunk } of pieces) socket.write(chunk);
      socket.uncork();
      done();
    },
    final: (done) => void socket.end(done),
    destroy(error, done) {
      socket.destroy();
      done(error);
    },
  });
  socket.on("data", (bytes) => {
    if (!eager.push(bytes)) socket.pause();
  });
  socket.on("end", () => eager.push(null));
  socket.on("error", (error) => eager.destroy(error));
  socket.on("close", () => eager.destroy());
  return eager;
}

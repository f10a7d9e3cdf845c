/** Calls about connections to and from guests, at the server. */
import { randomUUID } from "node:crypto";
import { AppError, untilAborted } from "@mags/core";
import type { GuestSocket } from "@mags/domain";
import { decode } from "./json.ts";
import { Accept, AtGuest, Listen, PortOfGuest } from "./messages.ts";
import { violation } from "./pipe.ts";
import { FRAME } from "./protocol.ts";
import type { ServerCall } from "./server-call.ts";
import { socketOver } from "./socket-over-pipe.ts";

export async function serveConnect(call: ServerCall): Promise<void> {
  const { guest, at } = decode(AtGuest, call.asked);
  call.edge.check(guest);
  await join(await call.upstream.node.connect(guest, at, { signal: call.signal }), call);
}

/** For requests of a URL: as `connect`, where one leads. */
export async function serveVisit(call: ServerCall): Promise<void> {
  const { guest, port } = decode(PortOfGuest, call.asked);
  call.edge.checkPort(guest, port);
  const at = { host: "127.0.0.1", port };
  await join(await call.upstream.node.connect(guest, at, { signal: call.signal }), call);
}

export async function serveAccept(call: ServerCall): Promise<void> {
  const { listener, connection } = decode(Accept, call.asked);
  const found = call.edge.listeners.get(listener);
  if (!found) throw new AppError("guest_failed", "nothing is listened on there any more");
  await join(await found.accept(connection), call);
}

/** After the answer both directions are those of the connection. */
async function join(socket: GuestSocket, { pipe, signal, answer }: ServerCall): Promise<void> {
  const close = () => socket.close();
  signal.addEventListener("abort", close);
  try {
    signal.throwIfAborted();
    await answer({});
    const atEdge = socketOver(pipe);
    const toEdge = carry(socket, atEdge, signal);
    // The guest gets all that an edge has said, also one that leaves then and takes no more itself.
    const untilLeft = carry(atEdge, socket, signal).then(() => pipe.frame());
    await Promise.all([untilLeft, Promise.race([toEdge, untilLeft])]);
  } finally {
    signal.removeEventListener("abort", close);
    socket.close();
  }
}

async function carry(from: GuestSocket, to: GuestSocket, signal: AbortSignal): Promise<void> {
  for (let bytes = await from.read(); bytes; bytes = await from.read()) await to.write(bytes);
  signal.throwIfAborted(); // one that was given up looks as if it had ended
  await to.end();
}

/** After the answer each `next` is answered with an `arrival`, or with `noMore`. */
export async function serveListen({ asked, edge, upstream, pipe, signal, answer }: ServerCall): Promise<void> {
  const { guest, at, wakes } = decode(Listen, asked);
  edge.check(guest);
  const listener = await upstream.node.listen(guest, at, { signal, wakes });
  const id = randomUUID();
  edge.listeners.set(id, listener);
  const close = () => listener.close();
  signal.addEventListener("abort", close);
  try {
    signal.throwIfAborted();
    await answer({ listener: id, port: listener.port });
    const asking = () => untilAborted(pipe.frame(), signal);
    for (let frame = await asking(); frame; frame = await asking()) {
      if (frame.type !== FRAME.next) throw violation("that is no question for a connection");
      const arrival = await listener.next();
      if (!arrival) return void (await pipe.writeFrame(FRAME.noMore));
      await pipe.writeJson(FRAME.arrival, arrival);
    }
  } finally {
    signal.removeEventListener("abort", close);
    edge.listeners.delete(id);
    listener.close();
  }
}

/** A socket of the guest at a channel of the client. */
import type { GuestSocket } from "@mags/domain";
import type { Channel } from "ssh2";
import type { OutputRoom } from "./output-room.ts";
import { createSender, type Sender } from "./sender.ts";

/** How long the guest may take what a client sent before it left. */
const LEAVING_MS = 10_000;

/**
 * Resolves when both directions have ended. What a client has sent reaches the guest also when it closes the channel.
 * @param options.gone  Resolves when the client has closed it, or has left.
 */
export async function joinSocket(
  socket: GuestSocket,
  channel: Channel,
  { room, gone }: { readonly room: OutputRoom; readonly gone: Promise<void> },
): Promise<void> {
  const sender = createSender(channel, room);
  let late: NodeJS.Timeout | undefined;
  const left = gone.then(() => {
    sender.leave();
    late = setTimeout(() => socket.close(), LEAVING_MS).unref();
  });
  try {
    await Promise.all([Promise.race([toClient(socket, channel, sender), left]), toGuest(channel, socket)]);
  } catch {
    // One of them is gone, and so the other goes.
  } finally {
    clearTimeout(late);
    socket.close();
    channel.end();
    channel.close();
    // Only who reads all of it hears that the channel is closed.
    channel.resume();
  }
}

async function toClient(socket: GuestSocket, channel: Channel, sender: Sender): Promise<void> {
  for (let bytes = await socket.read(); bytes; bytes = await socket.read()) await sender.send(channel, bytes);
  // Half of it only: the client may go on sending.
  channel.eof();
}

async function toGuest(channel: Channel, socket: GuestSocket): Promise<void> {
  // Its other direction goes on.
  for await (const bytes of channel.iterator({ destroyOnReturn: false })) await socket.write(bytes as Buffer);
  await socket.end();
}

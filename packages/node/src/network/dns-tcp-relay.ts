/** DNS over TCP (RFC 7766): messages with a length in front, several at a time on a connection. */
import type { Socket } from "node:net";
import type { GuestDnsRules } from "./dns-forwarder.ts";

export interface MessageRules extends Pick<GuestDnsRules, "refuse"> {
  /** The answer that the guest gets. */
  admit(query: Buffer, answer: Buffer): Promise<Buffer | undefined>;
}

/** Queries on one connection that have no answer yet; whoever asks for more loses it. */
const MAX_UNANSWERED = 64;
const LEAST_MESSAGE_BYTES = 12;

/** Passes messages both ways, under the rules. Whatever goes wrong ends both connections. */
export function relayMessages(client: Socket, upstream: Socket, rules: MessageRules): void {
  /** By message id, which the answer repeats. */
  const unanswered = new Map<number, Buffer>();
  /** The client says no more, and may still wait for answers. */
  let allAsked = false;

  /** @returns false when the client did what it must not. */
  async function passQueries(): Promise<boolean> {
    for await (const query of messagesOf(client)) {
      const refused = rules.refuse(query);
      if (refused) {
        if (!refused.answer) return false;
        await send(client, refused.answer);
        continue;
      }
      unanswered.set(query.readUInt16BE(0), query);
      if (unanswered.size > MAX_UNANSWERED) return false;
      await send(upstream, query);
    }
    return true;
  }

  async function passAnswers(): Promise<void> {
    for await (const answer of messagesOf(upstream)) {
      const id = answer.readUInt16BE(0);
      const query = unanswered.get(id);
      if (!query) continue;
      unanswered.delete(id);
      const admitted = await rules.admit(query, answer);
      if (!admitted) return;
      await send(client, admitted);
      if (allAsked && unanswered.size === 0) return;
    }
  }

  const end = () => {
    client.destroy();
    upstream.destroy();
  };
  passQueries().then((whole) => {
    allAsked = whole;
    if (!whole || unanswered.size === 0) end();
  }, end);
  passAnswers().then(end, end);
}

async function* messagesOf(socket: Socket): AsyncGenerator<Buffer> {
  let held = Buffer.alloc(0);
  for await (const chunk of socket.iterator({ destroyOnReturn: false }) as AsyncIterable<Buffer>) {
    held = Buffer.concat([held, chunk]);
    while (held.length >= 2 && held.length >= 2 + held.readUInt16BE(0)) {
      const message = held.subarray(2, 2 + held.readUInt16BE(0));
      held = held.subarray(2 + message.length);
      if (message.length < LEAST_MESSAGE_BYTES) return;
      yield message;
    }
  }
}

function send(socket: Socket, message: Buffer): Promise<void> {
  const length = Buffer.alloc(2);
  length.writeUInt16BE(message.length, 0);
  return new Promise((resolve, reject) => {
    socket.write(Buffer.concat([length, message]), (error) => (error ? reject(error) : resolve()));
  });
}

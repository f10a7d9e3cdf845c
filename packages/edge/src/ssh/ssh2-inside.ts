/**
 * What the gateway uses of ssh2 beside its interface, and mends of what it answers. All of that is here, in disconnect.ts,
 * signature-algorithms.ts and terminal-modes.ts, and is known of one version.
 */
import type { Socket } from "node:net";
import type { Channel, Connection } from "ssh2";
import manifest from "ssh2/package.json" with { type: "json" };

const VERSION = "1.17.0";
if (manifest.version !== VERSION)
  throw new Error(`ssh2 is ${manifest.version}: what is used of its inside is known of ${VERSION} only`);

/** What ssh2 allows clients to send ahead, and in one packet. */
const WINDOW_BYTES = 2 * 1024 * 1024;
const PACKET_BYTES = 32 * 1024;
/** Requests that are done where there is a command already. */
/** Clients write it on a line. */
const MOST_REASON_LENGTH = 200;
/** "End of writing": OpenSSH sends it to servers that say they are OpenSSH. */
const NO_MORE_OUTPUT = "eow@openssh.com";
const DONE_WHILE_RUNNING: ReadonlySet<string> = new Set(["signal", "window-change"]);

interface ChannelInside extends Channel {
  readonly incoming: { readonly window: number };
  readonly outgoing: { readonly packetSize: number };
  _chunk: unknown;
  _chunkcb: unknown;
  _chunkErr: unknown;
  _chunkcbErr: unknown;
}

interface SessionInside {
  readonly _chanInfo: { readonly outgoing: { readonly id: number } };
  readonly _channel?: Channel;
  _ending: boolean;
}

type Opened = ((error: Error | undefined, channel: Channel) => void) & { type?: string };

interface ConnectionInside {
  readonly _sock: Socket;
  readonly _chanMgr: {
    /** @returns -1: there is no number left. */
    add(opened: Opened): number;
    get(id: number): SessionInside | Channel | Opened | true | undefined;
    remove(id: number): void;
  };
  readonly _protocol: {
    readonly _kexinit: Buffer | undefined;
    readonly _queue: readonly Buffer[] | undefined;
    readonly _handlers: {
      CHANNEL_CLOSE(protocol: object, id: number): void;
      CHANNEL_DATA(protocol: object, id: number, bytes: Buffer): void;
      CHANNEL_EOF(protocol: object, id: number): void;
      CHANNEL_REQUEST(protocol: object, id: number, type: string, wantsReply: boolean, data: unknown): void;
      GLOBAL_REQUEST(protocol: object, name: string, wantsReply: boolean, data: unknown): void;
    };
    channelSuccess(id: number): void;
    channelFailure(id: number): void;
    channelClose(id: number): void;
    channelOpenFail(id: number, reason: number, text?: string): void;
    requestSuccess(data?: Buffer): void;
    requestFailure(): void;
    openssh_authAgent(id: number, windowBytes: number, packetBytes: number): void;
  };
}

export interface Mended {
  /** Packets that wait for the end of a key exchange; nothing while there is none. */
  heldPackets(): number | undefined;
  /** Requests of the connection, not of a channel, that have no answer yet. */
  unanswered(): number;
  /** Called once, when the client closes the channel: its `close` waits until all that came is read. */
  onClosed(channel: Channel, listener: () => void): void;
  /** Called when the client takes no more output of the channel, as the reader of its own has gone. */
  onUnwanted(channel: Channel, listener: () => void): void;
  /** Refuses a channel, and tells the client why: ssh2 tells nothing. */
  refuse(reject: () => void, why: string): void;
  /** Asks the client for a channel to its agent. */
  openAgent(opened: (error: Error | undefined, channel: Channel) => void): void;
}

const isChannel = (entry: unknown): entry is ChannelInside =>
  typeof entry === "object" && entry !== null && "incoming" in entry;
const inside = (client: Connection) => client as unknown as ConnectionInside;

export const socketOf = (client: Connection): Socket => inside(client)._sock;
export const protocolOf = (client: Connection): object => inside(client)._protocol;

/** Most bytes that the client takes in one packet. */
export const packetBytesOf = (channel: Channel): number => (channel as ChannelInside).outgoing.packetSize;

/** When all of a write has been sent ssh2 keeps it, and sends it again when output to stderr waits. */
export function forgetWritten(channel: Channel): void {
  const written = channel as ChannelInside;
  written._chunk = written._chunkcb = written._chunkErr = written._chunkcbErr = undefined;
}

/** Gives up what waits for the client's window. */
export function dropWritten(channel: Channel): void {
  const written = channel as ChannelInside;
  const taken = written._chunkcb;
  forgetWritten(channel);
  if (typeof taken === "function") taken();
}

/** Called once, before anybody else has the connection. */
export function mend(client: Connection): Mended {
  const { _sock: socket, _protocol: protocol, _chanMgr: channels } = inside(client);
  const handlers = protocol._handlers;
  const { CHANNEL_CLOSE: onClose, CHANNEL_DATA: onData, CHANNEL_EOF: onEof, CHANNEL_REQUEST: onRequest } = handlers;
  const { GLOBAL_REQUEST: onGlobal } = handlers;
  const closed = new WeakMap<object, () => void>();
  const unwanted = new WeakMap<object, () => void>();
  let unanswered = 0;

  const sessionOf = (id: number): SessionInside | undefined => {
    const entry = channels.get(id);
    return typeof entry === "object" && "_chanInfo" in entry ? entry : undefined;
  };

  // It takes more than the window, or drops it.
  handlers.CHANNEL_DATA = (from, id, bytes) => {
    const entry = channels.get(id);
    const channel = sessionOf(id)?._channel ?? entry;
    if (isChannel(channel) && bytes.length > channel.incoming.window) socket.destroy();
    else onData(from, id, bytes);
  };
  // It answers no request of a session that has a command, or whose input has ended.
  handlers.CHANNEL_REQUEST = (from, id, type, wantsReply, data) => {
    const session = sessionOf(id);
    if (type === NO_MORE_OUTPUT && session?._channel) unwanted.get(session._channel)?.();
    const isOurs = session !== undefined && (session._channel !== undefined || session._ending);
    onRequest(from, id, type, wantsReply && !isOurs, data);
    if (!isOurs || !wantsReply) return;
    const peer = session._chanInfo.outgoing.id;
    if (DONE_WHILE_RUNNING.has(type)) protocol.channelSuccess(peer);
    else protocol.channelFailure(peer);
  };
  // It takes the end of the input for the end of all: signals and sizes would go nowhere.
  handlers.CHANNEL_EOF = (from, id) => {
    onEof(from, id);
    const session = sessionOf(id);
    if (session?._channel) session._ending = false;
  };
  // It keeps sessions for ever in which nothing was begun.
  handlers.CHANNEL_CLOSE = (from, id) => {
    const entry = channels.get(id);
    const session = sessionOf(id);
    onClose(from, id);
    if (session && !session._channel) {
      channels.remove(id);
      protocol.channelClose(session._chanInfo.outgoing.id);
    }
    const channel = session ? session._channel : entry;
    if (isChannel(channel)) closed.get(channel)?.();
  };
  handlers.GLOBAL_REQUEST = (from, name, wantsReply, data) => {
    if (wantsReply) unanswered++;
    onGlobal(from, name, wantsReply, data);
  };
  let reason = "";
  const { channelOpenFail } = protocol;
  protocol.channelOpenFail = (id, code, text) => channelOpenFail.call(protocol, id, code, text || reason);
  const { requestSuccess, requestFailure } = protocol;
  protocol.requestSuccess = (data) => {
    unanswered--;
    requestSuccess.call(protocol, data);
  };
  protocol.requestFailure = () => {
    unanswered--;
    requestFailure.call(protocol);
  };

  return {
    heldPackets: () => (protocol._kexinit === undefined ? undefined : (protocol._queue?.length ?? 0)),
    unanswered: () => unanswered,
    onClosed: (channel, listener) => void closed.set(channel, listener),
    onUnwanted: (channel, listener) => void unwanted.set(channel, listener),
    refuse(reject, why) {
      reason = why.slice(0, MOST_REASON_LENGTH);
      reject();
      reason = "";
    },
    openAgent(opened) {
      const entry: Opened = (error, channel) => opened(error, channel);
      entry.type = "auth-agent@openssh.com";
      const id = channels.add(entry);
      if (id === -1) throw new Error("there is no number left for a channel");
      protocol.openssh_authAgent(id, WINDOW_BYTES, PACKET_BYTES);
    },
  };
}

/** Connections to guests that are used again. */
import { Agent, type ClientRequest, type IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import type { GuestId, GuestSocket } from "@mags/domain";
import { GuestStream } from "./guest-stream.ts";

export interface GuestPlace {
  readonly guest: GuestId;
  readonly port: number;
  /** Until then a server that does not listen yet is waited for. */
  readonly patientUntilMs: number;
}

export type Dial = (to: GuestPlace) => Promise<GuestSocket>;

const REST_MS = 15_000;
const MOST_RESTING = 64;

export class GuestAgent extends Agent {
  readonly #dial: Dial;

  /** How many connections a guest has is for whoever asks to see to. */
  constructor(dial: Dial) {
    super({ keepAlive: true, maxFreeSockets: MOST_RESTING, scheduling: "lifo" });
    this.#dial = dial;
  }

  override getName(options: object): string {
    const { guest, port } = options as GuestPlace; // Node hands on what `request` was called with
    return `${guest} ${port}`;
  }

  override createConnection(options: object, done: (error: Error | null, stream: Duplex) => void): undefined {
    this.#dial(options as GuestPlace).then(
      (socket) => done(null, new GuestStream(socket)),
      (error: Error) => done(error, undefined as never),
    );
  }

  override keepSocketAlive(stream: Duplex): boolean {
    if (stream.readableEnded) return false;
    const { _httpMessage: message } = stream as Duplex & { readonly _httpMessage?: { readonly res?: IncomingMessage } };
    const [, seconds] = /(?:^|[,;\s])timeout=(\d+)/.exec(`${message?.res?.headers["keep-alive"] ?? ""}`) ?? [];
    // A server that says when it closes is left before, so that no request crosses its goodbye.
    const ms = Math.min(REST_MS, seconds === undefined ? REST_MS : Number(seconds) * 1000 - 1000);
    if (ms > 0) (stream as GuestStream).rest(ms);
    return ms > 0;
  }

  override reuseSocket(stream: Duplex, request: ClientRequest): void {
    (stream as GuestStream).work();
    super.reuseSocket(stream, request); // takes back what listened while it rested
  }
}

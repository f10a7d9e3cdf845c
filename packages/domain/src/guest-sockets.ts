/**
 * Connections to and from what listens and dials in a guest. Nothing but bytes, numbers and calls passes between the edge
 * and a node. They end when the guest sleeps, and with the server.
 */
import type { GuestId } from "./sandbox.ts";

export type GuestAddress =
  /**
   * `host`: numeric without a zone, or a name as the guest knows it. To connect, up to four addresses of a name are tried;
   * `localhost`, `*` and an empty one mean the loopback. What listens does so on the first of a name, of `localhost` on
   * 127.0.0.1 and ::1, of `*` and an empty one on all addresses, as far as the guest has them.
   * `port`: 1 to 65535.
   */
  | { readonly host: string; readonly port: number }
  /** Of a Unix socket, absolute. */
  | { readonly path: string };

export interface GuestSocket {
  /** What has come, at most 64 KiB; waits until there is some. Null: the other side has ended its direction. */
  read(): Promise<Buffer | null>;
  /**
   * Resolves when the guest has room for more. The bytes must not change afterwards. Once the other side reads no more, what
   * is written is dropped; this and `end` reject for that reason only when all that it has sent was read: read at the same time.
   */
  write(bytes: Uint8Array): Promise<void>;
  /**
   * Ends this direction; the other goes on. Resolves when the guest's kernel has taken all that was written, which waits as
   * long as its reader does: `close` before then throws it away. May be repeated.
   */
  end(): Promise<void>;
  /**
   * Gives it up, and ends whoever waits. Unless `end` has resolved the other side sees a reset, or over a Unix socket an
   * end. May be repeated.
   */
  close(): void;
}

export interface Arrival {
  /** For `accept`. */
  readonly connection: number;
  /** Who dials, numeric; null: over a Unix socket. */
  readonly peer: { readonly address: string; readonly port: number } | null;
}

export interface GuestListener {
  /** On which connections come in; null: a Unix socket. */
  readonly port: number | null;
  /** The next that came in; null: there will be no more. At most 16 wait to be accepted, others in the guest's backlog. */
  next(): Promise<Arrival | null>;
  /** Each once. @throws AppError `guest_failed` when it is there no more, or the guest has no room: it is closed then. */
  accept(connection: number): Promise<GuestSocket>;
  /** Ends what was not accepted, too. May be repeated. */
  close(): void;
}

export interface GuestSockets {
  /**
   * Dials from inside the guest, after waking it.
   * @throws AppError `connection_refused` with the reason: nobody listens or answers; `validation_failed` when there can be no
   *   such address; `job_not_running`.
   */
  connect(guest: GuestId, to: GuestAddress, options: { readonly signal: AbortSignal }): Promise<GuestSocket>;
  /**
   * Listens inside the guest, after waking it. Port 0: one that is free.
   * @param options.wakes  False: waits until the guest is awake, and is no use of it. Default: true.
   * @throws AppError `connection_refused` with the reason: in use, no such address or folder; `validation_failed`
   *   when there can be no such address; `job_not_running`.
   */
  listen(
    guest: GuestId,
    at: GuestAddress,
    options: { readonly signal: AbortSignal; readonly wakes?: boolean },
  ): Promise<GuestListener>;
}

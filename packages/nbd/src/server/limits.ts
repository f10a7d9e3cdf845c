export interface NbdServerLimits {
  /** Connections beyond these are closed at once. */
  readonly maxConnections: number;
  /** Bytes of replies that one connection may have under way; at least those of one request. Then it is not read from. */
  readonly maxPendingBytes: number;
  /** Requests of one connection that are answered at the same time. */
  readonly maxPendingRequests: number;
  /** How long a client may take until it has chosen its export. */
  readonly handshakeMs: number;
}

export const DEFAULT_LIMITS: NbdServerLimits = {
  maxConnections: 8,
  maxPendingBytes: 8 * 1024 ** 2,
  maxPendingRequests: 64,
  handshakeMs: 10_000,
};

/** Longest read. It is less than what a client may assume that asks for no sizes; QEMU asks. */
export const MAX_READ_BYTES = 4 * 1024 ** 2;
/** What reads best: chunks of a workspace and clusters of its disk have this size. */
export const PREFERRED_READ_BYTES = 64 * 1024;
/** Longest option. Names have at most 4096 bytes. */
export const MAX_OPTION_BYTES = 16 * 1024;
/** Most extents in one answer: 32 KiB. The client asks again for the rest. */
export const MAX_EXTENTS = 4096;

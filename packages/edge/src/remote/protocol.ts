/** What both ends of the edge protocol agree on. @see docs/formats/edge-protocol.md */

export const PROTOCOL_VERSION = 1;

/** Each call is one HTTP/2 stream: `POST /edge/1/<name>`. */
export const CALLS = [
  "hello",
  "host_key",
  "find",
  "guest",
  "note",
  "ports",
  "ends",
  "exec",
  "connect",
  "listen",
  "accept",
  "route",
  "visit",
  "access",
  "certificate",
  "challenge",
] as const;
export type CallName = (typeof CALLS)[number];

export const pathOf = (call: CallName): string => `/edge/${PROTOCOL_VERSION}/${call}`;

/** Types of frames. */
export const FRAME = {
  /** JSON: what is asked, and what is answered. The first of each direction. */
  head: 0,
  // exec, from the edge
  input: 1,
  inputEnd: 2,
  acknowledged: 3,
  resize: 4,
  signal: 5,
  hangUp: 6,
  forget: 7,
  // exec, to the edge
  output: 16,
  inputTaken: 17,
  notice: 18,
  end: 19,
  failed: 20,
  // listen
  next: 32,
  arrival: 33,
  noMore: 34,
  // ports
  ports: 48,
  unusable: 49,
  // ends, from the edge
  watch: 50,
  unwatch: 51,
  // ends, to the edge
  over: 52,
  // connect, accept: both ways
  bytes: 64,
  bytesEnd: 65,
} as const;

/** u8 type, u32 length of what follows. */
export const FRAME_HEADER_BYTES = 5;

/** Of a frame with JSON. */
export const MOST_JSON_BYTES = 512 * 1024;
/** Of any other frame: 8 bytes of offset, and bytes. */
export const MOST_PAYLOAD_BYTES = 1024 * 1024;
/** Output that is sent ahead of what was acknowledged; one frame may go beyond. */
export const OUTPUT_WINDOW_BYTES = 1024 * 1024;
/** Of one call and direction, what was sent and not taken. */
export const STREAM_WINDOW_BYTES = 512 * 1024;
/** Of all calls of a connection. What has arrived does not count, so that a slow call does not hold up others. */
export const CONNECTION_WINDOW_BYTES = 16 * 1024 * 1024;
/**
 * Calls under way of one edge. Those that last as long as users like leave room for who signs in, and what is told of him;
 * those of URLs, which strangers use, take the room of none of SSH.
 */
export const MOST_CALLS = { ssh: 3_840, urls: 10_240, names: 1_024, short: 256 } as const;
export const MOST_CALLS_IN_ALL = Object.values(MOST_CALLS).reduce<number>((sum, most) => sum + most, 0);

const SSH_CALLS: ReadonlySet<CallName> = new Set(["exec", "connect", "listen", "accept"]);
const NAME_CALLS: ReadonlySet<CallName> = new Set(["route", "certificate", "challenge"]);

export function kindOf(call: CallName): keyof typeof MOST_CALLS {
  if (call === "visit") return "urls";
  if (NAME_CALLS.has(call)) return "names";
  return SSH_CALLS.has(call) ? "ssh" : "short";
}
/** Guests of which one edge wants to know the end. */
export const MOST_WATCHED = 100_000;
/** Notes in one call. */
export const MOST_NOTES = 16;
/** Answered requests of URLs in one call. */
export const MOST_ACCESSES = 256;

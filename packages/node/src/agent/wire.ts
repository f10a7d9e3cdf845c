/** Numbers of the wire format. The page docs/formats/agent-protocol.md is the source; this file only names them. */

export const PROTOCOL_VERSION = 1;
export const NONCE_BYTES = 16;
export const MAX_PAYLOAD_BYTES = 65_536;
export const MAX_MESSAGE_BYTES = 2 * 1024 * 1024;
/** Twice what a message of full frames has. */
export const MAX_MESSAGE_FRAMES = 64;
export const MAX_FIELDS = 512;
export const FRAME_HEADER_BYTES = 12;
export const FRAME_TRAILER_BYTES = 4;
export const DATA_HEADER_BYTES = 24;
export const MAX_RECORD_BYTES = MAX_PAYLOAD_BYTES - DATA_HEADER_BYTES;
export const MAX_STREAMS = 256;
export const MAX_WINDOW_BYTES = 8_388_608;
export const MAX_UNACKED_RECORDS = 8_192;
/** As long as the largest frame: it completes any frame that an earlier host left unfinished. */
export const PAD_BYTES = MAX_PAYLOAD_BYTES + FRAME_HEADER_BYTES + FRAME_TRAILER_BYTES;

export const FLAG = { more: 1, reply: 2, error: 4 } as const;

export const TYPE = {
  hello: 1,
  ping: 2,
  ident: 3,
  diskAttach: 4,
  diskDetach: 5,
  sync: 6,
  freeze: 7,
  thaw: 8,
  grow: 9,
  stats: 10,
  stat: 11,
  shutdown: 12,
  clock: 13,
  remove: 14,
  rename: 15,
  mkdir: 16,
  awake: 17,
  reclaim: 18,
  open: 32,
  data: 33,
  ack: 34,
  signal: 35,
  resize: 36,
  end: 37,
  close: 38,
} as const;

export const KIND = {
  exec: 1,
  pty: 2,
  fileRead: 3,
  fileWrite: 4,
  list: 5,
  tarOut: 6,
  tarIn: 7,
  tcp: 8,
  listen: 9,
  accept: 10,
} as const;

export const UPPER = { ext4: 1, tmpfs: 2 } as const;

export const WRITE_FLAG = { parents: 1, exclusive: 2, append: 4, atomic: 8 } as const;

export const TAG = {
  nonce: 1,
  versionMin: 2,
  versionMax: 3,
  version: 4,
  agentBuild: 5,
  identity: 6,
  diskState: 7,
  stream: 8,
  streamId: 9,
  kind: 10,
  key: 11,
  sent: 12,
  acked: 13,
  received: 14,
  ended: 15,
  errno: 16,
  step: 17,
  message: 18,
  payload: 19,
  realtime: 20,
  entropy: 21,
  hostname: 22,
  machineId: 23,
  size: 24,
  upper: 25,
  steps: 26,
  rounds: 27,
  watchdogMs: 28,
  uptime: 29,
  cpuUser: 30,
  cpuSystem: 31,
  cpuIdle: 32,
  cpuSteal: 33,
  memTotal: 34,
  memAvailable: 35,
  processes: 36,
  tcpEstablished: 37,
  ttys: 38,
  diskTotal: 39,
  diskFree: 40,
  oomKills: 41,
  path: 42,
  follow: 43,
  mode: 44,
  mtime: 45,
  uid: 46,
  gid: 47,
  target: 48,
  window: 49,
  keep: 50,
  once: 51,
  pid: 52,
  argv: 53,
  script: 54,
  env: 55,
  cwd: 56,
  stdin: 57,
  timeoutMs: 58,
  killAfterMs: 59,
  killGroup: 60,
  rows: 61,
  cols: 62,
  offset: 63,
  length: 64,
  writeFlags: 65,
  name: 66,
  port: 67,
  address: 68,
  seq: 69,
  signo: 70,
  exitCode: 71,
  exitSignal: 72,
  timedOut: 73,
  durationNs: 74,
  bytes: 75,
  newPath: 76,
  recursive: 77,
  noReplace: 78,
  parents: 79,
  trimStale: 80,
  connection: 81,
  modes: 82,
} as const;

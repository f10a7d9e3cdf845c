/* Numbers of the wire format. The page docs/formats/agent-protocol.md is the source; this file only names them. */
#ifndef PROTO_H
#define PROTO_H

enum {
  FRAME_HEADER = 12,
  FRAME_TRAILER = 4,
  FRAME_OVERHEAD = FRAME_HEADER + FRAME_TRAILER,
  MAX_PAYLOAD = 65536,
  MAX_FRAME = MAX_PAYLOAD + FRAME_OVERHEAD,
  MAX_MESSAGE = 2 * 1024 * 1024,
  DATA_HEADER = 24,
  MAX_RECORD = MAX_PAYLOAD - DATA_HEADER,
  FIELD_HEADER = 6,
  NONCE_SIZE = 16,
  PROTOCOL_VERSION = 1,
};

enum frame_flag { FLAG_MORE = 1, FLAG_REPLY = 2, FLAG_ERROR = 4, FLAGS_KNOWN = 7 };

enum message_type {
  MSG_HELLO = 1,
  MSG_PING = 2,
  MSG_IDENT = 3,
  MSG_DISK_ATTACH = 4,
  MSG_DISK_DETACH = 5,
  MSG_SYNC = 6,
  MSG_FREEZE = 7,
  MSG_THAW = 8,
  MSG_GROW = 9,
  MSG_STATS = 10,
  MSG_STAT = 11,
  MSG_SHUTDOWN = 12,
  MSG_OPEN = 32,
  MSG_DATA = 33,
  MSG_ACK = 34,
  MSG_SIGNAL = 35,
  MSG_RESIZE = 36,
  MSG_END = 37,
  MSG_CLOSE = 38,
};

enum stream_kind {
  KIND_EXEC = 1,
  KIND_PTY = 2,
  KIND_FILE_READ = 3,
  KIND_FILE_WRITE = 4,
  KIND_LIST = 5,
  KIND_TAR_OUT = 6,
  KIND_TAR_IN = 7,
  KIND_TCP = 8,
};

enum channel { CHANNEL_IN = 0, CHANNEL_OUT = 1, CHANNEL_ERR = 2 };

enum upper_layer { UPPER_EXT4 = 1, UPPER_TMPFS = 2 };

enum write_flag { WRITE_PARENTS = 1, WRITE_EXCLUSIVE = 2, WRITE_APPEND = 4, WRITE_ATOMIC = 8 };

enum tag {
  TAG_NONCE = 1,
  TAG_VERSION_MIN = 2,
  TAG_VERSION_MAX = 3,
  TAG_VERSION = 4,
  TAG_AGENT_BUILD = 5,
  TAG_IDENTITY = 6,
  TAG_DISK_STATE = 7,
  TAG_STREAM = 8,
  TAG_STREAM_ID = 9,
  TAG_KIND = 10,
  TAG_KEY = 11,
  TAG_SENT = 12,
  TAG_ACKED = 13,
  TAG_RECEIVED = 14,
  TAG_ENDED = 15,
  TAG_ERRNO = 16,
  TAG_STEP = 17,
  TAG_MESSAGE = 18,
  TAG_PAYLOAD = 19,
  TAG_REALTIME = 20,
  TAG_ENTROPY = 21,
  TAG_HOSTNAME = 22,
  TAG_MACHINE_ID = 23,
  TAG_SIZE = 24,
  TAG_UPPER = 25,
  TAG_STEPS = 26,
  TAG_ROUNDS = 27,
  TAG_WATCHDOG_MS = 28,
  TAG_UPTIME = 29,
  TAG_CPU_USER = 30,
  TAG_CPU_SYSTEM = 31,
  TAG_CPU_IDLE = 32,
  TAG_CPU_STEAL = 33,
  TAG_MEM_TOTAL = 34,
  TAG_MEM_AVAILABLE = 35,
  TAG_PROCESSES = 36,
  TAG_TCP_ESTABLISHED = 37,
  TAG_TTYS = 38,
  TAG_DISK_TOTAL = 39,
  TAG_DISK_FREE = 40,
  TAG_OOM_KILLS = 41,
  TAG_PATH = 42,
  TAG_FOLLOW = 43,
  TAG_MODE = 44,
  TAG_MTIME = 45,
  TAG_UID = 46,
  TAG_GID = 47,
  TAG_TARGET = 48,
  TAG_WINDOW = 49,
  TAG_KEEP = 50,
  TAG_ONCE = 51,
  TAG_PID = 52,
  TAG_ARGV = 53,
  TAG_SCRIPT = 54,
  TAG_ENV = 55,
  TAG_CWD = 56,
  TAG_STDIN = 57,
  TAG_TIMEOUT_MS = 58,
  TAG_KILL_AFTER_MS = 59,
  TAG_KILL_GROUP = 60,
  TAG_ROWS = 61,
  TAG_COLS = 62,
  TAG_OFFSET = 63,
  TAG_LENGTH = 64,
  TAG_WRITE_FLAGS = 65,
  TAG_NAME = 66,
  TAG_PORT = 67,
  TAG_ADDRESS = 68,
  TAG_SEQ = 69,
  TAG_SIGNO = 70,
  TAG_EXIT_CODE = 71,
  TAG_EXIT_SIGNAL = 72,
  TAG_TIMED_OUT = 73,
  TAG_DURATION_NS = 74,
  TAG_BYTES = 75,
};

enum {
  MAX_STREAMS = 256,
  MAX_ONCE_KEYS = 4096,
  MAX_KEY = 64,
  MAX_PING = 1024,
  MIN_WINDOW = 65536,
  MAX_WINDOW = 8388608,
  /* Records not acknowledged, per stream and direction: a bound on what their bookkeeping costs the receiver. */
  MAX_UNACKED_RECORDS = 8192,
  /* Most bytes of input that the agent holds for a stream whose reader is slow. */
  INPUT_WINDOW = 262144,
};

#endif

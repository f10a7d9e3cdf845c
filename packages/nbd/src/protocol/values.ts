/**
 * Values of the NBD protocol, "fixed newstyle", by the names that its document gives them.
 * @see https://github.com/NetworkBlockDevice/nbd/blob/master/doc/proto.md
 */

/** "NBDMAGIC" and "IHAVEOPT", the second also in front of each option. */
export const INIT_MAGIC = 0x4e42444d41474943n;
export const OPTION_MAGIC = 0x49484156454f5054n;
export const OPTION_REPLY_MAGIC = 0x0003e889045565a9n;
export const REQUEST_MAGIC = 0x25609513;
export const SIMPLE_REPLY_MAGIC = 0x67446698;
export const STRUCTURED_REPLY_MAGIC = 0x668e33ef;

/** Flags of either side at its greeting. */
export const HANDSHAKE = { fixedNewstyle: 1, noZeroes: 2 } as const;

export const OPTION = {
  exportName: 1,
  abort: 2,
  list: 3,
  info: 6,
  go: 7,
  structuredReply: 8,
  listMetaContext: 9,
  setMetaContext: 10,
} as const;

const ERROR_BIT = 0x80000000;
export const OPTION_REPLY = {
  ack: 1,
  server: 2,
  info: 3,
  metaContext: 4,
  unsupported: ERROR_BIT + 1,
  invalid: ERROR_BIT + 3,
  unknown: ERROR_BIT + 6,
  tooBig: ERROR_BIT + 9,
} as const;

export const isOptionError = (type: number): boolean => type >= ERROR_BIT;

export const INFO = { export: 0, blockSize: 3 } as const;

export const TRANSMISSION = {
  hasFlags: 1,
  readOnly: 2,
  sendFlush: 4,
  sendDf: 128,
  canMultiConn: 256,
  sendCache: 1024,
} as const;

export const COMMAND = {
  read: 0,
  write: 1,
  disconnect: 2,
  flush: 3,
  trim: 4,
  cache: 5,
  writeZeroes: 6,
  blockStatus: 7,
  resize: 8,
} as const;

export const COMMAND_FLAG = { dontFragment: 4, requestOne: 8 } as const;

export const CHUNK_DONE = 1;
const CHUNK_ERROR_BIT = 0x8000;
export const CHUNK = {
  none: 0,
  offsetData: 1,
  offsetHole: 2,
  blockStatus: 5,
  error: CHUNK_ERROR_BIT + 1,
  errorOffset: CHUNK_ERROR_BIT + 2,
} as const;

export const isErrorChunk = (type: number): boolean => (type & CHUNK_ERROR_BIT) !== 0;

export const ERRNO = {
  EPERM: 1,
  EIO: 5,
  ENOMEM: 12,
  EINVAL: 22,
  ENOSPC: 28,
  EOVERFLOW: 75,
  ENOTSUP: 95,
  ESHUTDOWN: 108,
} as const;
export type NbdErrno = keyof typeof ERRNO;

/** Flags of an extent in the context `base:allocation`. */
export const ALLOCATION = { hole: 1, zero: 2 } as const;
export const ALLOCATION_CONTEXT = "base:allocation";
/** QEMU's: in a context of this name the flags of an extent are how deep below the node its data lies; 0: nowhere. */
export const DEPTH_CONTEXT = "qemu:allocation-depth";
/** The flag of an extent in a context `qemu:dirty-bitmap:NAME` (docs/interop/nbd.txt of QEMU). */
export const DIRTY = 1;

/** Longest string: names of exports and contexts, messages. */
export const MAX_STRING_BYTES = 4096;

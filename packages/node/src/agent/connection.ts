/** The calls of an AgentConnection, over its session. */
import type { AgentConnection, CallOptions } from "./agent-connection.ts";
import { createFieldWriter, type FieldReader } from "./fields.ts";
import {
  decodeStat,
  decodeStats,
  decodeSteps,
  encodeAttach,
  encodeAwake,
  encodeClock,
  encodeIdentity,
  encodeMakeDirectory,
  encodeRemove,
  encodeRename,
  encodeSync,
} from "./requests.ts";
import { runCommand } from "./run-command.ts";
import { type AgentTransport, openSession } from "./session.ts";
import { TAG, TYPE } from "./wire.ts";

const DISK_DEADLINE_MS = 30_000;
/** A large tree takes its time. */
const REMOVE_DEADLINE_MS = 600_000;

/** Sends HELLO on both ports, and returns at once: what is asked meanwhile follows it. */
export function openAgentConnection(transport: AgentTransport): AgentConnection {
  const session = openSession(transport);
  const none = Buffer.alloc(0);
  const done = () => {};
  const disk = (options: CallOptions = {}): CallOptions => ({ deadlineMs: DISK_DEADLINE_MS, ...options });
  const fields = createFieldWriter;

  function request<T>(
    type: number,
    what: string,
    payload: Buffer,
    decode: (answer: FieldReader) => T,
    options?: CallOptions,
  ): Promise<T> {
    return session.request({ type, what, payload, decode }, options);
  }

  const connection: AgentConnection = {
    hello: session.hello,
    ready: session.ready,
    get kept() {
      return session.kept;
    },
    closed: session.closed,
    ping: (options) => request(TYPE.ping, "answer", none, done, options),
    setClock: ({ realtimeNs }, options) => request(TYPE.clock, "set its clock", encodeClock(realtimeNs), done, options),
    ident: (identity, options) => request(TYPE.ident, "take its identity", encodeIdentity(identity), done, options),
    awake: (now, options) => request(TYPE.awake, "wake", encodeAwake(now), done, options),
    reclaim: (options) => request(TYPE.reclaim, "give back its page cache", none, decodeSteps, disk(options)),
    attachDisk: (attach, options) =>
      request(TYPE.diskAttach, "attach its disk", encodeAttach(attach), decodeSteps, disk(options)),
    detachDisk: (options) => request(TYPE.diskDetach, "detach its disk", none, decodeSteps, disk(options)),
    sync: (sync, options) => request(TYPE.sync, "write out its disk", encodeSync(sync), decodeSteps, disk(options)),
    freeze: ({ watchdogMs }, options) =>
      request(
        TYPE.freeze,
        "freeze its disk",
        fields().u32(TAG.watchdogMs, watchdogMs).finish(),
        decodeSteps,
        disk(options),
      ),
    thaw: (options) => request(TYPE.thaw, "thaw its disk", none, decodeSteps, disk(options)),
    grow: ({ sizeBytes }, options) =>
      request(TYPE.grow, "grow its disk", fields().u64(TAG.size, sizeBytes).finish(), decodeSteps, disk(options)),
    stats: (options) => request(TYPE.stats, "tell its state", none, decodeStats, options),
    stat: ({ path, follow }, options) =>
      request(
        TYPE.stat,
        "look at a file",
        fields()
          .bytes(TAG.path, path)
          .u8(TAG.follow, follow ? 1 : 0)
          .finish(),
        decodeStat,
        options,
      ),
    remove: (file, options) =>
      request(TYPE.remove, "remove a file", encodeRemove(file), done, { deadlineMs: REMOVE_DEADLINE_MS, ...options }),
    rename: (file, options) => request(TYPE.rename, "rename a file", encodeRename(file), done, disk(options)),
    makeDirectory: (folder, options) =>
      request(TYPE.mkdir, "make a folder", encodeMakeDirectory(folder), done, disk(options)),
    shutdown: (options) => request(TYPE.shutdown, "shut down", none, done, options),

    open: session.open,
    resume: session.resume,
    closeKept: session.closeKept,
    batch: session.batch,
    run: (command, options) => runCommand(session.open, command, options),
    [Symbol.asyncDispose]: () => session[Symbol.asyncDispose](),
  };
  return connection;
}

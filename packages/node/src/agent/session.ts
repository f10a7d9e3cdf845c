/**
 * A conversation with the agent of one guest: two ports, requests, streams. Every byte of the guest is checked; the first
 * that the protocol does not allow ends the connection.
 */
import type { Duplex } from "node:stream";
import { AppError, type Logger } from "@mags/core";
import { createAllowance } from "../allowance.ts";
import type { AgentConnection, CallOptions } from "./agent-connection.ts";
import { checkPort } from "./arrival.ts";
import { createBulkPump } from "./bulk-pump.ts";
import { decodeData } from "./data.ts";
import { createFieldWriter, type FieldReader, readFields } from "./fields.ts";
import type { Frame } from "./frame.ts";
import { guestError, readFailure } from "./guest-error.ts";
import { type AgentHello, decodeHello, type KeptStream } from "./hello.ts";
import { createMessageAssembler, encodeMessage, type Message } from "./message.ts";
import { DEFAULT_WINDOW_BYTES, encodeOpen, OUTPUT_CHANNELS, type StreamListeners, takesInput } from "./open-options.ts";
import { createPort } from "./port.ts";
import { createReceiver, type Receiver } from "./receiver.ts";
import { createRequestTable } from "./request-table.ts";
import { createSender, type Sender } from "./sender.ts";
import { createStream, type StreamOpened, type StreamPeer } from "./stream.ts";
import { decodeEnd, type StreamEnd } from "./stream-end.ts";
import { ProtocolViolation } from "./violation.ts";
import { MAX_STREAMS, MAX_WINDOW_BYTES, NONCE_BYTES, TAG, TYPE } from "./wire.ts";

export interface AgentTransport {
  /** Connected to the port `mags.control`; the connection owns it from now on. */
  readonly control: Duplex;
  /** Connected to the port `mags.bulk`. */
  readonly bulk: Duplex;
  readonly random: (bytes: number) => Buffer;
  /** Called once when the guest breaks the protocol; the connection is over then. */
  readonly onViolation: (reason: string) => void;
  readonly log: Logger;
}

const CALL_DEADLINE_MS = 10_000;
const OPEN_DEADLINE_MS = 30_000;
/** A guest that does not take this much of what it was sent on the control port does not work. */
const MAX_CONTROL_BACKLOG_BYTES = 16 * 1024 * 1024;
/**
 * For both ports together; a frame costs 16 KiB beside its bytes. So a guest's output passes at up to 210 MB/s and
 * nothing but frames at 16 000 a second, which is less than a fifth of the time of the event loop.
 */
const GUEST_BYTES_PER_SECOND = 256 * 1024 * 1024;
const GUEST_BURST_BYTES = 32 * 1024 * 1024;

/** One conversation with the agent; AgentConnection is made of it. Its methods are explained there. */
export interface Session
  extends Pick<AgentConnection, "hello" | "ready" | "kept" | "closed" | "open" | "resume" | "closeKept" | "batch">,
    AsyncDisposable {
  /** Sends a request. `what`: what the guest is asked to do, for messages. `decode` may throw ProtocolViolation. */
  request<T>(call: RequestCall<T>, options?: CallOptions): Promise<T>;
}

export interface RequestCall<T> {
  readonly type: number;
  readonly what: string;
  readonly payload: Buffer;
  readonly decode: (fields: FieldReader) => T;
}

/** Sends HELLO on both ports, and returns at once: what is asked meanwhile follows it. */
export function openSession(transport: AgentTransport): Session {
  const { log } = transport;
  const nonce = transport.random(NONCE_BYTES);
  const hello = Promise.withResolvers<AgentHello>();
  const closed = Promise.withResolvers<string>();
  const bulkGreeted = Promise.withResolvers<void>();
  hello.promise.catch(() => {});
  bulkGreeted.promise.catch(() => {});
  const requests = createRequestTable();
  const assembler = createMessageAssembler();
  const streams = new Map<number, StreamPeer>();
  /** Those of them that the guest has opened. */
  const live = new Set<number>();
  /** Kept streams that nobody has taken up yet. */
  const unclaimed = new Map<number, { readonly kept: KeptStream; end?: StreamEnd }>();
  let kept: readonly KeptStream[] = [];
  let greeted = false;
  let failure: Error | undefined;
  /** Ids begin at random, so that they do not meet those of streams that an earlier host left. */
  const firstId = (transport.random(4).readUInt32LE() & 0x3fff_ffff) + 1;
  let nextId = firstId;

  const allowance = createAllowance({
    perSecond: GUEST_BYTES_PER_SECOND,
    burst: GUEST_BURST_BYTES,
    nowMs: () => performance.now(),
  });
  const pump = createBulkPump(() => bulk);
  const onClosed = (reason: string) =>
    finish(new AppError("microvm_lost", `the connection to the guest ended: ${reason}`));
  const control = createPort(transport.control, {
    nonce,
    allowance,
    onGreeted: () => {},
    onFrame: onControlFrame,
    onDrain: () => {},
    onViolation: violated,
    onClosed,
  });
  const bulk = createPort(transport.bulk, {
    nonce,
    allowance,
    onGreeted: bulkGreeted.resolve,
    onFrame: onBulkFrame,
    onDrain: pump.run,
    onViolation: violated,
    onClosed,
  });
  control.start();

  function finish(error: Error): void {
    if (failure) return;
    failure = error;
    control.destroy();
    bulk.destroy();
    hello.reject(error);
    bulkGreeted.reject(error);
    requests.failAll(error);
    for (const peer of [...streams.values()]) peer.fail(error);
    streams.clear();
    unclaimed.clear();
    closed.resolve(error.message);
  }

  function violated(reason: string): void {
    if (failure) return;
    finish(new AppError("guest_protocol_violation", `the guest broke the agent protocol: ${reason}`));
    transport.onViolation(reason);
  }

  function send(type: number, id: number, payload: Buffer): void {
    control.send(encodeMessage({ type, id, payload }));
    if (control.waitingBytes > MAX_CONTROL_BACKLOG_BYTES) violated("the guest does not read its control port");
  }

  function onControlFrame(frame: Frame): void {
    const message = assembler.add(frame);
    if (!message) return;
    if (message.type === TYPE.hello) onHello(message);
    else if (!greeted) throw new ProtocolViolation("a message before the end of HELLO");
    else if (message.reply) onReply(message);
    else onMessage(message);
  }

  function onHello({ reply, error, payload }: Message): void {
    if (greeted || !reply) throw new ProtocolViolation("a second HELLO");
    greeted = true;
    if (error) {
      finish(guestError("begin a session", readFailure(readFields(payload))));
      return;
    }
    const answer = decodeHello(payload);
    kept = answer.kept;
    for (const stream of kept) unclaimed.set(stream.id, { kept: stream });
    hello.resolve(answer);
    startBulk();
  }

  /** Data of kept streams waits in the guest until somebody takes it. */
  function startBulk(): void {
    if (unclaimed.size === 0) bulk.start();
  }

  function isOurs(id: number): boolean {
    return id >= firstId && id < nextId;
  }

  function onReply({ type, id, error, payload }: Message): void {
    const request = requests.get(id);
    if (!request) {
      // Answers to requests that were given up may come late.
      if (!isOurs(id)) throw new ProtocolViolation(`an answer to request ${id}, which was not made`);
      return;
    }
    if (request.type !== type)
      throw new ProtocolViolation(`an answer of type ${type} to a request of type ${request.type}`);
    const fields = readFields(payload);
    if (error) request.reject(guestError(request.what, readFailure(fields)));
    else request.answer(fields);
  }

  function onMessage({ type, id, payload }: Message): void {
    const fields = readFields(payload);
    const peer = streams.get(id);
    const waiting = unclaimed.get(id);
    if (!peer && !waiting) {
      if (!isOurs(id) && !kept.some((stream) => stream.id === id))
        throw new ProtocolViolation(`a message of stream ${id}, which does not exist`);
    } else if (type === TYPE.end) {
      const end = decodeEnd(fields);
      if (peer) peer.end(end);
      else if (waiting?.end) throw new ProtocolViolation("a stream ended twice");
      else if (waiting) waiting.end = end;
    } else if (type === TYPE.ack) {
      const seq = fields.u64(TAG.seq);
      const offset = fields.u64(TAG.offset);
      if (seq === undefined || offset === undefined) throw new ProtocolViolation("an ACK without SEQ or OFFSET");
      if (!peer) return;
      peer.inputTaken(seq, offset);
      pump.nudge(id, peer.sender);
    } else {
      throw new ProtocolViolation(`a message of unknown type ${type}`);
    }
  }

  function onBulkFrame({ type, flags, id, payload }: Frame): void {
    if (type === TYPE.hello) return; // the reply that the greeting ended with
    if (type !== TYPE.data || flags !== 0) throw new ProtocolViolation(`a frame of type ${type} on the bulk port`);
    const data = decodeData(payload);
    const peer = streams.get(id);
    if (peer) peer.data(data);
    else if (!isOurs(id) && !kept.some((stream) => stream.id === id))
      throw new ProtocolViolation(`data of stream ${id}, which does not exist`);
  }

  function addStream(
    id: number,
    {
      onOpened,
      ...parts
    }: {
      readonly onOpened?: (what: StreamOpened) => void;
      readonly receiver: Receiver;
      readonly sender: Sender;
      readonly windowBytes: number;
      readonly keep: boolean;
      readonly paced: boolean;
    },
    { onRecord, onInputTaken }: StreamListeners,
  ): StreamPeer {
    const peer = createStream({
      id,
      ...parts,
      onRecord: onRecord ?? (() => {}),
      onInputTaken: onInputTaken ?? (() => {}),
      sendAck: (seq, offset) =>
        send(TYPE.ack, id, createFieldWriter().u64(TAG.seq, seq).u64(TAG.offset, offset).finish()),
      sendSignal: (signo) => send(TYPE.signal, id, createFieldWriter().u32(TAG.signo, signo).finish()),
      sendResize: ({ rows, cols }) =>
        send(TYPE.resize, id, createFieldWriter().u16(TAG.rows, rows).u16(TAG.cols, cols).finish()),
      sendClose() {
        if (!streams.delete(id)) return;
        live.delete(id);
        pump.forget(id);
        send(TYPE.close, id, Buffer.alloc(0));
      },
      onOpened(what) {
        if (!streams.has(id)) return; // it was closed meanwhile, and the guest told
        // Each of them lives in the guest, too, until it is told otherwise.
        if (live.size + unclaimed.size >= MAX_STREAMS) throw new ProtocolViolation(`more than ${MAX_STREAMS} streams`);
        live.add(id);
        onOpened?.(what);
      },
      pump: () => pump.nudge(id, parts.sender),
      onCallbackError: (message) => log.error("agent.callback_failed", { stream: id, error: message }),
    });
    streams.set(id, peer);
    return peer;
  }

  const ready = Promise.all([hello.promise, bulkGreeted.promise]).then(() => {});
  ready.catch(() => {}); // who waits for it sees why

  return {
    hello: hello.promise,
    ready,
    get kept() {
      return kept;
    },
    closed: closed.promise,
    request({ type, what, payload, decode }, { signal, deadlineMs = CALL_DEADLINE_MS } = {}) {
      if (failure) return Promise.reject(failure);
      const id = nextId++;
      const answer = requests.add({ id, type, what, decode, deadlineMs, signal });
      if (!signal?.aborted) send(type, id, payload);
      return answer;
    },
    open(options, { signal, deadlineMs = OPEN_DEADLINE_MS } = {}) {
      const payload = encodeOpen(options); // throws when it cannot be
      const id = nextId++;
      const windowBytes = options.window ?? DEFAULT_WINDOW_BYTES;
      const sender = createSender();
      if (!takesInput(options)) sender.fail(new Error("this stream takes no input"));
      const receiver = createReceiver({ channels: OUTPUT_CHANNELS[options.kind], windowBytes });
      const keep = options.keep === true;
      const paced = keep || options.paced === true;
      const onOpened = ({ port }: StreamOpened) => {
        if (options.kind === "listen") checkPort(options, port);
      };
      const peer = addStream(id, { receiver, sender, windowBytes, keep, paced, onOpened }, options);
      if (failure) {
        peer.fail(failure);
        return peer.stream;
      }
      const what = `open a stream (${options.kind})`;
      requests.add({ id, type: TYPE.open, what, decode: peer.openReply, deadlineMs, signal }).catch((error: Error) => {
        peer.fail(error);
        peer.stream.close();
      });
      if (!signal?.aborted) send(TYPE.open, id, payload);
      return peer.stream;
    },

    resume(stream, { fromSeq, ...listeners }) {
      const waiting = unclaimed.get(stream.id);
      if (failure) throw failure;
      if (!waiting) throw new Error(`stream ${stream.id} was not kept, or was taken up already`);
      if (fromSeq < stream.acked)
        throw new AppError("guest_failed", `the guest has forgotten output from record ${fromSeq} on`);
      if (fromSeq > stream.sent)
        throw new AppError("guest_failed", `the guest sent ${stream.sent} records, but ${fromSeq} were stored`);
      unclaimed.delete(stream.id);
      const { input } = stream;
      const sender = createSender(input);
      const receiver = createReceiver({
        channels: OUTPUT_CHANNELS[stream.kind],
        windowBytes: MAX_WINDOW_BYTES,
        fromSeq,
      });
      const parts = { receiver, sender, windowBytes: MAX_WINDOW_BYTES, keep: true, paced: true };
      const peer = addStream(stream.id, parts, listeners);
      peer.resumed({ windowBytes: input.windowBytes, pid: stream.pid });
      try {
        if (waiting.end) peer.end(waiting.end);
      } catch (error) {
        violated(error instanceof Error ? error.message : String(error));
      }
      startBulk();
      return peer.stream;
    },
    closeKept(stream) {
      if (!unclaimed.delete(stream.id)) return;
      send(TYPE.close, stream.id, Buffer.alloc(0));
      startBulk();
    },
    batch(sendAll) {
      control.cork();
      try {
        return sendAll();
      } finally {
        control.uncork();
      }
    },
    async [Symbol.asyncDispose]() {
      finish(new AppError("microvm_lost", "the connection to the guest was closed"));
    },
  };
}

/** One of the two ports of a connection: greeting, frames in, bytes out. */
import type { Duplex } from "node:stream";
import { messageOf } from "@mags/core";
import type { Allowance } from "../allowance.ts";
import { createFrameDecoder, type Frame } from "./frame.ts";
import { createGreetingFinder, encodeGreeting } from "./greeting.ts";

export interface Port {
  send(bytes: Uint8Array): void;
  /** Pieces that leave together. */
  sendAll(pieces: readonly Uint8Array[]): void;
  cork(): void;
  uncork(): void;
  /** True when what was sent waits in memory: send bulk data no faster than the guest takes it. */
  readonly congested: boolean;
  /** Bytes sent that wait in memory. */
  readonly waitingBytes: number;
  /** Lets through what comes after the greeting; until then the guest's port fills up. */
  start(): void;
  destroy(): void;
}

export interface PortOptions {
  readonly nonce: Buffer;
  /** What the guest's bytes and frames are charged to; when it is used up, the guest's port fills up for a while. */
  readonly allowance: Allowance;
  /** The guest answered the greeting: bytes pass both ways. */
  readonly onGreeted: () => void;
  readonly onFrame: (frame: Frame) => void;
  readonly onDrain: () => void;
  readonly onViolation: (reason: string) => void;
  readonly onClosed: (reason: string) => void;
}

/** A frame costs as much as so many bytes: between 2 and 20 µs, whatever is in it. */
const FRAME_COST_BYTES = 16_384;

/** Sends the greeting at once. The port owns the socket. */
export function createPort(socket: Duplex, options: PortOptions): Port {
  const greeting = createGreetingFinder(options.nonce);
  const decoder = createFrameDecoder();
  let greeted = false;
  let started = false;
  /** What came with the greeting before `start`. */
  let held: Buffer | undefined;
  let live = true;
  /** Until then nothing is read. */
  let resting: NodeJS.Timeout | undefined;

  function charge(cost: number): void {
    const waitMs = options.allowance.spend(cost);
    if (waitMs === 0 || !live) return;
    socket.pause();
    clearTimeout(resting);
    resting = setTimeout(() => {
      resting = undefined;
      flow();
    }, waitMs);
  }

  function flow(): void {
    if (live && !resting && (started || !greeted)) socket.resume();
  }

  function receive(chunk: Buffer): void {
    if (!live) return;
    charge(chunk.length);
    if (greeted) {
      decode(chunk);
      return;
    }
    const bytes = greeting.push(chunk);
    if (!bytes) return;
    greeted = true;
    if (started) decode(bytes);
    else {
      held = bytes;
      socket.pause();
    }
    options.onGreeted();
  }

  function decode(bytes: Buffer): void {
    let frames = 0;
    try {
      decoder.push(bytes, (frame) => {
        frames++;
        // A frame before this one may have ended the connection.
        if (live) options.onFrame(frame);
      });
    } catch (error) {
      // Whatever it is, the guest's bytes caused it, and must not end more than its connection.
      options.onViolation(messageOf(error));
    }
    charge(frames * FRAME_COST_BYTES);
  }

  socket.on("error", (error) => options.onClosed(messageOf(error)));
  socket.on("close", () => options.onClosed("the guest's port was closed"));
  socket.on("end", () => options.onClosed("the guest's port was closed"));
  socket.on("drain", options.onDrain);
  socket.on("data", receive);
  socket.write(encodeGreeting(options.nonce));

  return {
    send(bytes) {
      if (live) socket.write(bytes);
    },
    sendAll(pieces) {
      if (!live) return;
      socket.cork();
      for (const piece of pieces) socket.write(piece);
      socket.uncork();
    },
    cork: () => socket.cork(),
    uncork: () => socket.uncork(),
    get congested() {
      return socket.writableNeedDrain;
    },
    get waitingBytes() {
      return socket.writableLength;
    },
    start() {
      if (!live || started) return;
      started = true;
      const bytes = held;
      held = undefined;
      if (bytes) decode(bytes);
      flow();
    },
    destroy() {
      live = false;
      clearTimeout(resting);
      socket.destroy();
    },
  };
}

/**
 * A guest that knows the protocol and breaks it now and then: it answers what it was asked, sends output and ends within
 * the rules, so that its lies reach deep, and then sends a frame that is wrong in one of the ways there are.
 */
import { mutate, type SeededRandom } from "@mags/test-kit";
import { encodeData } from "../../src/agent/data.ts";
import { createFieldWriter, type FieldWriter, readFields } from "../../src/agent/fields.ts";
import { encodeFrame, type Frame } from "../../src/agent/frame.ts";
import { FLAG, KIND, TAG, TYPE } from "../../src/agent/wire.ts";
import type { FakeGuest } from "../agent/fake-guest.ts";

type PortName = "control" | "bulk";
interface Sent {
  readonly port: PortName;
  readonly bytes: Buffer;
}

interface GuestStream {
  readonly id: number;
  readonly channels: readonly number[];
  seq: number;
  offset: number;
  ended: boolean;
}

const fields = createFieldWriter;
const HUGE = [0, 1, 255, 256, 65_535, 65_536, 0x7fff_ffff, 0xffff_ffff];
const HUGE_64 = [0, 1, 2 ** 31, 2 ** 32, 2 ** 53 - 1, 2n ** 53n, 2n ** 64n - 1n];
const NUMBER_TAGS = [
  TAG.sent,
  TAG.seq,
  TAG.offset,
  TAG.window,
  TAG.exitCode,
  TAG.exitSignal,
  TAG.pid,
  TAG.errno,
  TAG.size,
];

const OUTPUT_CHANNELS = new Map<number, readonly number[]>([
  [KIND.exec, [1, 2]],
  [KIND.fileWrite, []],
  [KIND.tarIn, []],
]);

export class HostileAgent {
  readonly #random: SeededRandom;
  readonly #guest: FakeGuest;
  readonly #streams: GuestStream[] = [];
  readonly #requests: Frame[] = [];
  #seen = 0;

  constructor(guest: FakeGuest, random: SeededRandom) {
    this.#guest = guest;
    this.#random = random;
  }

  /** Streams that HELLO listed. */
  keep(id: number, acked: number): void {
    this.#streams.push({ id, channels: [1, 2], seq: acked, offset: 10 * acked, ended: false });
  }

  /** The next frame, or what is meant to be taken for one. `hostility`: 0 to 1. */
  next(hostility: number): Sent {
    this.#look();
    return this.#random.chance(hostility) ? this.#lie() : this.#truth();
  }

  /** Takes note of what the host asked for. */
  #look(): void {
    for (; this.#seen < this.#guest.received.length; this.#seen++) {
      const frame = this.#guest.received[this.#seen];
      if (!frame || frame.type === TYPE.ack || frame.type === TYPE.signal || frame.type === TYPE.resize) continue;
      if (frame.type === TYPE.close) {
        const at = this.#streams.findIndex(({ id }) => id === frame.id);
        if (at >= 0) this.#streams.splice(at, 1);
      } else this.#requests.push(frame);
    }
  }

  #truth(): Sent {
    const random = this.#random;
    const request = this.#requests.length > 0 && random.chance(0.5) ? this.#requests.shift() : undefined;
    if (request) return this.#answer(request);
    const stream = this.#streams.length > 0 ? random.pick(this.#streams) : undefined;
    if (!stream || stream.ended) return this.#control(TYPE.ack, stream?.id ?? 1, this.#ack(0, 0));
    if (random.chance(0.05)) return this.#end(stream);
    if (random.chance(0.1) || stream.channels.length === 0) return this.#control(TYPE.ack, stream.id, this.#ack(0, 0));
    return this.#output(stream, random.chance(0.02) ? random.between(1, 60_000) : random.between(1, 60));
  }

  #answer(request: Frame): Sent {
    const random = this.#random;
    const { type, id } = request;
    if (random.chance(0.1)) return this.#control(type, id, this.#failure(), FLAG.reply | FLAG.error);
    if (type === TYPE.open) {
      const kind = readFields(request.payload).u8(TAG.kind) ?? 0;
      this.#streams.push({ id, channels: OUTPUT_CHANNELS.get(kind) ?? [1], seq: 0, offset: 0, ended: false });
      return this.#control(type, id, fields().u32(TAG.window, random.between(1, 100_000)).u32(TAG.pid, 7), FLAG.reply);
    }
    if (type === TYPE.stats) return this.#control(type, id, statsFields(), FLAG.reply);
    if (type === TYPE.stat) return this.#control(type, id, statFields(), FLAG.reply);
    return this.#control(type, id, fields().bytes(TAG.steps, "mount 1.0"), FLAG.reply);
  }

  #lie(): Sent {
    const random = this.#random;
    const stream = this.#streams.length > 0 ? random.pick(this.#streams) : { id: 1, channels: [1], seq: 0, offset: 0 };
    switch (random.between(0, 13)) {
      case 0:
        return this.#mutated(this.#truth());
      case 1:
        return this.#mutated(this.#lie());
      case 2:
        return this.#control(random.between(0, 255), random.pick(HUGE), this.#anyFields(), random.between(0, 7));
      case 3:
        return this.#control(random.pick(Object.values(TYPE)), stream.id, this.#anyFields(), random.pick([0, 2, 6, 1]));
      case 4: // an answer to what was not asked
        return this.#control(
          random.pick([TYPE.ping, TYPE.stats, TYPE.open]),
          random.between(0, 40),
          fields(),
          FLAG.reply,
        );
      case 5: // a record out of turn
        return this.#data(stream.id, {
          seq: Math.max(0, stream.seq + random.between(-3, 3)),
          offset: random.chance(0.5) ? stream.offset : random.pick([0, 1, 2 ** 32, 2 ** 53 - 1]),
          channel: random.between(0, 4),
        });
      case 6: // more than the window
        return this.#data(stream.id, { ...stream, channel: 1 }, random.between(50_000, 65_512));
      case 7:
        return this.#control(TYPE.ack, stream.id, this.#ack(random.pick(HUGE_64), random.pick(HUGE_64)));
      case 8:
        return this.#control(
          TYPE.end,
          stream.id,
          fields().u64(TAG.sent, random.pick(HUGE_64)).u32(TAG.exitCode, random.pick(HUGE)),
        );
      case 9: // part of a message, of a frame
        return this.#control(random.pick([TYPE.end, TYPE.hello]), stream.id, this.#anyFields(), FLAG.more);
      case 10: {
        const frame = this.#output({ ...stream, ended: false }, 40);
        return { ...frame, bytes: frame.bytes.subarray(0, random.between(1, frame.bytes.length - 1)) };
      }
      case 11:
        return { port: random.pick(["control", "bulk"]), bytes: random.bytes(random.between(1, 100)) };
      case 12: // on the other port
        return { port: "bulk", bytes: this.#truth().bytes };
      default:
        return this.#control(TYPE.hello, 0, this.#anyFields(), FLAG.reply);
    }
  }

  #mutated(sent: Sent): Sent {
    return { port: sent.port, bytes: mutate(this.#random, sent.bytes) };
  }

  #output(stream: GuestStream, length: number): Sent {
    const sent = this.#data(stream.id, { ...stream, channel: this.#random.pick([...stream.channels, 1]) }, length);
    stream.seq++;
    stream.offset += length;
    return sent;
  }

  #end(stream: GuestStream): Sent {
    stream.ended = true;
    const end = fields().u64(TAG.sent, stream.seq).u32(TAG.exitCode, 3).u64(TAG.durationNs, 5);
    return this.#control(TYPE.end, stream.id, end);
  }

  #ack(seq: number | bigint, offset: number | bigint): FieldWriter {
    return fields().u64(TAG.seq, seq).u64(TAG.offset, offset);
  }

  #failure(): FieldWriter {
    return fields()
      .u32(TAG.errno, this.#random.pick(HUGE))
      .bytes(TAG.step, this.#random.bytes(5))
      .bytes(TAG.message, this.#random.bytes(this.#random.between(0, 50)));
  }

  #anyFields(): FieldWriter {
    const random = this.#random;
    const writer = fields();
    for (let n = random.between(0, 6); n > 0; n--) {
      const form = random.between(0, 3);
      if (form < 2) writer.u64(random.pick(NUMBER_TAGS), random.pick(HUGE_64));
      else if (form === 2) writer.u32(random.pick(NUMBER_TAGS), random.pick(HUGE));
      else writer.bytes(random.between(0, 80), random.bytes(random.between(0, 20)));
    }
    return writer;
  }

  #control(type: number, id: number, payload: FieldWriter, flags = 0): Sent {
    return { port: "control", bytes: encodeFrame({ type, flags, id, payload: payload.finish() }) };
  }

  #data(
    id: number,
    header: { readonly seq: number; readonly offset: number; readonly channel: number },
    length = 10,
  ): Sent {
    const { seq, offset, channel } = header;
    const fin = this.#random.chance(0.02);
    const frame = encodeData(id, { seq, offset, channel, fin, ageMs: 0 }, Buffer.alloc(length, 0x61));
    return { port: "bulk", bytes: Buffer.concat(frame) };
  }
}

function statsFields(): FieldWriter {
  const writer = fields();
  const numbers = [TAG.uptime, TAG.cpuUser, TAG.cpuSystem, TAG.cpuIdle, TAG.cpuSteal, TAG.memTotal, TAG.memAvailable];
  for (const tag of [...numbers, TAG.diskTotal, TAG.diskFree, TAG.oomKills]) writer.u64(tag, 1);
  for (const tag of [TAG.processes, TAG.tcpEstablished, TAG.ttys]) writer.u32(tag, 1);
  return writer;
}

function statFields(): FieldWriter {
  const writer = fields().u32(TAG.mode, 0o644).u64(TAG.size, 1).u64(TAG.mtime, 2);
  return writer.u32(TAG.uid, 0).u32(TAG.gid, 0);
}

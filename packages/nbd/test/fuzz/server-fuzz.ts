/** Conversations with clients that somebody took over, while another client is served beside them. */
import assert from "node:assert/strict";
import { connect } from "node:net";
import { join } from "node:path";
import { type Logger, silentLogger, withDeadline } from "@mags/core";
import { connectNbd, createNbdServer, type NbdExport } from "@mags/nbd";
import {
  createSeededRandom,
  type FuzzReport,
  makeTempDir,
  mutate,
  runConversations,
  type SeededRandom,
  waitFor,
} from "@mags/test-kit";
import { countedText, encodeOption, u16, u32 } from "../../src/protocol/options.ts";
import { encodeRequest } from "../../src/protocol/requests.ts";
import { COMMAND, OPTION } from "../../src/protocol/values.ts";

const SETTLE_DEADLINE_MS = 20_000;
const SIZE = 1024 ** 2;
const HONEST = { offset: 4096, length: 70_000 };

/** `frames` of the report are options and requests. */
export async function fuzzServer(options: { readonly seed: number; readonly frames: number }): Promise<FuzzReport> {
  const random = createSeededRandom(options.seed);
  await using scope = new AsyncDisposableStack();
  const directory = scope.use(await makeTempDir());
  const path = join(directory.path, "nbd.sock");
  let outcome: unknown;
  const log: Logger = {
    ...silentLogger,
    debug: (event, fields) => {
      if (event === "nbd.connection") outcome = fields?.outcome;
    },
  };
  const odd = createOddExport(random);
  const honest = createOddExport(null);
  const find = (name: string) => (name === "odd" ? odd : name === "honest" ? honest : undefined);
  const server = scope.use(createNbdServer({ exports: { find, list: () => ["odd", "honest"] }, log }));
  await server.listen({ path });
  const signal = AbortSignal.timeout(SETTLE_DEADLINE_MS);
  const other = scope.use(await connectNbd(path, { exportName: "honest", signal }));
  const expected = Buffer.alloc(HONEST.length, 1);

  return await runConversations(options.frames, async (framesSoFar) => {
    const what = `conversation after ${framesSoFar} frames`;
    const hangs = () => new Error(`${what}: the other client waits for ever`);
    outcome = undefined;
    const frames = await converse(path, random);
    const bytes = await withDeadline(other.read(HONEST.offset, HONEST.length), SETTLE_DEADLINE_MS, hangs);
    assert.deepEqual(bytes, expected, what);
    await waitFor(() => server.connections === 1, { what: `${what} to be over`, deadlineMs: SETTLE_DEADLINE_MS });
    const violation = typeof outcome === "string" && outcome.startsWith("sent ") ? outcome : undefined;
    return { frames, violation };
  });
}

/** An export that is slow, fails or gives nonsense now and then; without choices, one that does not. */
function createOddExport(random: SeededRandom | null): NbdExport {
  return {
    sizeBytes: SIZE,
    async read(_offset, length) {
      if (!random) return Buffer.alloc(length, 1);
      if (random.chance(0.3)) await new Promise((resolve) => setImmediate(resolve));
      if (random.chance(0.1)) throw new Error("this part is lost");
      if (random.chance(0.1)) return Buffer.alloc(length + 1);
      const half = length >> 1;
      return [{ zeroBytes: half }, Buffer.alloc(length - half, 1)];
    },
    extents: (_offset, length) => (random?.chance(0.1) ? [] : [{ length, zero: false }]),
  };
}

async function converse(path: string, random: SeededRandom): Promise<number> {
  const socket = connect(path);
  let over = false;
  socket.on("error", () => {}); // the server lets go; "close" follows
  const closed = new Promise<void>((resolve) => {
    socket.once("close", () => {
      over = true;
      resolve();
    });
  });
  const hostility = random.pick([0, 0.01, 0.05, 0.3, 1]);
  const listens = random.chance(0.8);
  if (listens) socket.resume();
  let frames = 0;

  /** Sends what an honest client would, or something like it. */
  function say(honest: Buffer): void {
    frames++;
    const lies = random.chance(hostility);
    const bytes = lies ? mutate(random, honest) : honest;
    // Many small messages and few large ones: what is said comes in any pieces.
    for (let at = 0; at < bytes.length; ) {
      const size = random.chance(0.1) ? random.between(1, 30) : bytes.length;
      socket.write(bytes.subarray(at, at + size));
      at += size;
    }
  }

  say(u32(3));
  for (let n = random.between(0, 8); n > 0 && !over; n--) say(anyOption(random));
  say(encodeOption(OPTION.go, Buffer.concat([countedText("odd"), u16(0)])));
  const patience = random.between(1, 300);
  while (!over && frames < patience) {
    for (let n = random.between(1, 30); n > 0; n--) for (const bytes of anyRequest(random)) say(bytes);
    await new Promise((resolve) => setImmediate(resolve));
  }
  if (random.chance(0.3)) socket.end();
  if (random.chance(0.5)) socket.resume();
  else socket.destroy();
  setImmediate(() => socket.destroy());
  await closed;
  return frames;
}

function anyOption(random: SeededRandom): Buffer {
  const name = countedText(random.pick(["odd", "honest", "none", ""]));
  const query = countedText(random.pick(["base:allocation", "base:", "qemu:x", ""]));
  switch (random.between(0, 5)) {
    case 0:
      return encodeOption(OPTION.list, Buffer.alloc(0));
    case 1:
      return encodeOption(OPTION.info, Buffer.concat([name, u16(1), u16(3)]));
    case 2:
      return encodeOption(
        random.pick([OPTION.setMetaContext, OPTION.listMetaContext]),
        Buffer.concat([name, u32(1), query]),
      );
    case 3:
      return encodeOption(random.between(0, 30), random.bytes(random.between(0, 100)));
    default:
      return encodeOption(OPTION.structuredReply, Buffer.alloc(0));
  }
}

/** A request, and after a write what is to be written. */
function anyRequest(random: SeededRandom): Buffer[] {
  const type = random.chance(0.6) ? COMMAND.read : random.between(0, 9);
  if (type === COMMAND.disconnect) return [];
  const length = random.pick([0, 1, 512, 4096, 65_536, 300_000, 2 ** 32 - 1]);
  const offset = random.pick([0, 1, 4096, SIZE - 4096, SIZE, 2 ** 53, 2 ** 63]);
  const flags = random.chance(0.1) ? random.between(0, 65_535) : random.pick([0, 0, 0, 4, 8]);
  const written = type === COMMAND.write ? random.between(0, 5_000) : length;
  const request = encodeRequest({ type, flags, offset, length: written, cookie: BigInt(random.between(0, 5)) });
  return type === COMMAND.write ? [Buffer.concat([request, random.bytes(written)])] : [request];
}

/** A client of servers that lie now and then, in every way there is, while another server is honest. */
import assert from "node:assert/strict";
import { isAppError, withDeadline } from "@mags/core";
import { allExtents, connectNbd, type NbdClient, NbdError } from "@mags/nbd";
import { createSeededRandom, type FuzzReport, mutate, runConversations, type SeededRandom } from "@mags/test-kit";
import { encodeGreeting, u16, u32, u64 } from "../../src/protocol/options.ts";
import type { NbdRequest } from "../../src/protocol/requests.ts";
import { COMMAND, OPTION } from "../../src/protocol/values.ts";
import { chunk, honestReplies, type Script, SIZE, startScriptedServer } from "../scripted-server.ts";

const SETTLE_DEADLINE_MS = 20_000;
const CONTEXT = "base:allocation";
const REPLIES_PER_CONVERSATION = 300;

/** `frames` of the report are what servers said. */
export async function fuzzClient(options: { readonly seed: number; readonly frames: number }): Promise<FuzzReport> {
  const random = createSeededRandom(options.seed);
  await using server = await startScriptedServer();
  await using honest = await startScriptedServer();
  honest.play({ onRequest: (request, say) => honestAnswer(request).forEach(say) });
  const signal = AbortSignal.timeout(SETTLE_DEADLINE_MS);
  await using other = await connectNbd(honest.path, { exportName: "", signal });

  return await runConversations(options.frames, async (framesSoFar) => {
    const what = `conversation after ${framesSoFar} frames`;
    const hangs = () => new Error(`${what}: something waits for ever`);
    const { script, said } = createLiar(random);
    server.play(script);
    const fault = await withDeadline(converse(server.path, random, said), SETTLE_DEADLINE_MS, hangs);
    assert.deepEqual(await other.read(0, 4), Buffer.from([1, 1, 0, 0]), what);
    return { frames: said(), violation: fault };
  });
}

/** @returns what the server did wrong. */
async function converse(path: string, random: SeededRandom, said: () => number): Promise<string | undefined> {
  let client: NbdClient;
  const gaveUp = new AbortController();
  // One that says less than it should leaves its client waiting.
  const patience = setTimeout(() => gaveUp.abort(new Error("enough")), 30);
  try {
    client = await connectNbd(path, { exportName: "disk", contexts: [CONTEXT], signal: gaveUp.signal });
  } catch (error) {
    if (gaveUp.signal.aborted) return undefined;
    assert.ok(isAppError(error), String(error));
    return /sent .*/.exec(error.message)?.[0];
  } finally {
    clearTimeout(patience);
  }
  let over = false;
  void client.closed.then(() => {
    over = true;
  });
  // One that leaves out answers takes all places of its client in the end, and says nothing more.
  for (let before = -1; !over && said() < REPLIES_PER_CONVERSATION && said() > before; ) {
    before = said();
    const calls = Array.from({ length: random.between(1, 12) }, () => call(client, random));
    const enough = new Promise<void>((resolve) => setTimeout(resolve, 20));
    await Promise.race([Promise.all(calls), enough, client.closed]);
  }
  await client[Symbol.asyncDispose]();
  return (await client.closed) ?? undefined;
}

async function call(client: NbdClient, random: SeededRandom): Promise<void> {
  try {
    if (random.chance(0.2) && client.contexts.includes(CONTEXT)) {
      let at = 0;
      for await (const extent of allExtents(client, { context: CONTEXT })) {
        assert.equal(extent.offset, at);
        at += extent.length;
      }
      assert.equal(at, client.sizeBytes);
    } else {
      const length = random.pick([1, 100, 4096, 20_000]);
      const offset = random.between(0, SIZE - length);
      assert.equal((await client.read(offset, length)).length, length);
    }
  } catch (error) {
    // A server that lies about sizes makes calls senseless.
    assert.ok(
      error instanceof NbdError || error instanceof RangeError || isAppError(error, "unavailable"),
      String(error),
    );
  }
}

function createLiar(random: SeededRandom): { readonly script: Script; said(): number } {
  const hostility = random.pick([0, 0.01, 0.05, 0.2, 1]);
  let frames = 0;
  const spoken = (honest: Buffer, odds = hostility) => {
    frames++;
    return random.chance(odds) ? mutate(random, honest) : honest;
  };
  const early = hostility / 4;
  const query = Buffer.concat([u32(4), Buffer.from("disk"), u32(1), u32(CONTEXT.length), Buffer.from(CONTEXT)]);
  const options = Object.fromEntries(
    [OPTION.structuredReply, OPTION.setMetaContext, OPTION.go].map((option) => [
      option,
      spoken(honestReplies(option, option === OPTION.setMetaContext ? query : Buffer.alloc(0)), early),
    ]),
  );
  const script: Script = {
    greeting: spoken(encodeGreeting(), early),
    options,
    onRequest(request, say) {
      for (const reply of honestAnswer(request)) {
        if (random.chance(hostility / 20)) continue;
        say(random.chance(hostility) ? lie(random, request, reply) : spoken(reply, 0));
      }
    },
  };
  return { script, said: () => frames };
}

function honestAnswer({ type, cookie, offset, length }: NbdRequest): Buffer[] {
  if (type === COMMAND.blockStatus) return [chunk(cookie, 5, Buffer.concat([u32(1), u32(length), u32(0)]))];
  if (type !== COMMAND.read) return [];
  const half = length >> 1;
  if (half === 0) return [chunk(cookie, 1, Buffer.concat([u64(offset), Buffer.alloc(length, 1)]))];
  return [
    chunk(cookie, 1, Buffer.concat([u64(offset), Buffer.alloc(half, 1)]), false),
    chunk(cookie, 2, Buffer.concat([u64(offset + half), u32(length - half)])),
  ];
}

function lie(random: SeededRandom, { cookie, offset, length }: NbdRequest, honest: Buffer): Buffer {
  const number = () => random.pick([0, 1, 4, 8, 12, length, length + 1, 2 ** 31, 2 ** 32 - 1]);
  const place = () =>
    random.pick([0, offset - 1, offset + 1, offset + length, 2 ** 53, 2 ** 63].map((at) => Math.max(0, at)));
  switch (random.between(0, 9)) {
    case 0:
      return chunk(cookie, random.between(0, 9), random.bytes(random.between(0, 40)), random.chance(0.5));
    case 1:
      return chunk(cookie, 1, Buffer.concat([u64(place()), Buffer.alloc(random.between(0, 50))]), random.chance(0.5));
    case 2:
      return chunk(cookie, 2, Buffer.concat([u64(place()), u32(number())]), random.chance(0.5));
    case 3:
      return chunk(cookie, 5, Buffer.concat([u32(number()), u32(number()), u32(number())]), random.chance(0.5));
    case 4:
      return chunk(cookie, 0x8000 + random.between(0, 5), Buffer.concat([u32(number()), u16(random.between(0, 20))]));
    case 5:
      return chunk(cookie + BigInt(random.between(-2, 2)) + 2n, 0);
    case 6:
      return Buffer.concat([u32(0x67446698), u32(number()), u64(cookie)]);
    case 7:
      return Buffer.concat([honest, honest]);
    case 8:
      return random.bytes(random.between(1, 60));
    default:
      return mutate(random, honest);
  }
}

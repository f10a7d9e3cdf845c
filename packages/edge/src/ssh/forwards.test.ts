import assert from "node:assert/strict";
import { EventEmitter } from "node:events";
import { describe, it, mock } from "node:test";
import { silentLogger } from "@mags/core";
import type { GuestId, GuestListener } from "@mags/domain";
import type { Connection } from "ssh2";
import { createForwards } from "./forwards.ts";

/** A guest that takes its time to listen, and gives the ports that it is told to. */
function rig() {
  const client = new EventEmitter() as EventEmitter & Connection; // which nothing is opened at
  const asked: ((port: number) => void)[] = [];
  const closed: number[] = [];
  const over = new AbortController();
  async function listen(options: { readonly signal: AbortSignal }): Promise<GuestListener> {
    const given = Promise.withResolvers<number>();
    options.signal.addEventListener("abort", () => given.reject(options.signal.reason), { once: true });
    asked.push(given.resolve);
    const port = await given.promise;
    const end = Promise.withResolvers<null>();
    return {
      port,
      next: () => end.promise,
      accept: () => Promise.reject(new Error("nothing comes in")),
      close() {
        closed.push(port);
        end.resolve(null);
      },
    };
  }
  const forwards = createForwards(client, {
    node: {
      connect: () => Promise.reject(new Error("nothing is dialled")),
      listen: (_, __, options) => listen(options),
    },
    guest: async () => "j-1" as GuestId,
    mended: { openAgent: () => {} },
    room: { wait: async () => {} },
    log: silentLogger,
    takePlace: () => () => {},
    takeListener: () => () => {},
    onChannel: () => Promise.resolve(),
    onForward: () => {},
    onLost: () => {},
    signal: over.signal,
  });
  /** Resolves with the port; null: refused. */
  const ask = (port: number, host = "localhost") =>
    new Promise<number | null | undefined>((accept) =>
      forwards.listen({ host, port }, { accept, reject: () => accept(null) }),
    );
  return { forwards, asked, closed, ask };
}
const turn = () => new Promise(setImmediate);

describe("listening in the guest for a client", () => {
  it("may be asked for on several free ports at once", async () => {
    const { forwards, asked, closed, ask } = rig();
    const both = [ask(0), ask(0)];
    await turn();
    asked.forEach((give, n) => {
      give(5_000 + n);
    });
    assert.deepEqual(await Promise.all(both), [5_000, 5_001]);
    assert.ok(forwards.cancel({ host: "localhost", port: 5_001 }));
    assert.ok(!forwards.cancel({ host: "localhost", port: 5_001 }));
    assert.deepEqual([...new Set(closed)], [5_001]);
  });

  it("can be cancelled before it has begun", async () => {
    const { forwards, asked, ask } = rig();
    const port = ask(8_080);
    await turn();
    assert.ok(forwards.cancel({ host: "localhost", port: 8_080 }));
    assert.equal(await port, null);
    const again = ask(8_080);
    await turn();
    asked.at(-1)?.(8_080);
    assert.equal(await again, 8_080);
  });

  it("is bounded, also where the guest gives one port again and again", async () => {
    const { asked, closed, ask } = rig();
    const first = ask(0);
    await turn();
    asked[0]?.(5_000);
    assert.equal(await first, 5_000);
    const twice = ask(0);
    await turn();
    asked[1]?.(5_000);
    assert.equal(await twice, null);
    await turn();
    assert.deepEqual(closed, [5_000]);
    const many = Array.from({ length: 40 }, () => ask(0));
    await turn();
    assert.equal(asked.length, 2 + 31);
    for (const give of asked) give(6_000);
    assert.equal((await Promise.all(many)).filter((port) => port === 6_000).length, 1);
  });

  it("is refused when the guest takes too long, as later answers wait for it", async () => {
    mock.timers.enable({ apis: ["setTimeout"] });
    try {
      const port = rig().ask(8_080);
      await turn();
      mock.timers.tick(30_000);
      assert.equal(await port, null);
    } finally {
      mock.timers.reset();
    }
  });
});

import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { createSeededRandom, mutate, seedFrom } from "@mags/test-kit";
import { encode } from "dns-packet";
import { addressesOf } from "../../src/network/dns-answer.ts";
import { askedName, refusal, serverFailure } from "../../src/network/dns-message.ts";

const MESSAGES = 100_000;
const SEED = seedFrom(process.env.FUZZ_SEED);

const questions = [{ type: "A", name: "www.example.test" }] as const;
const QUERIES = [
  encode({ type: "query", id: 1, flags: 0x100, questions: [...questions] }),
  encode({ type: "query", id: 2, questions: [{ type: "AAAA", name: `${"a".repeat(63)}.${"b".repeat(63)}.test` }] }),
];
const ANSWERS = [
  encode({
    type: "response",
    questions: [...questions],
    answers: [
      { type: "CNAME", name: "www.example.test", ttl: 5, data: "other.test" },
      { type: "A", name: "other.test", ttl: 60, data: "192.0.2.1" },
      { type: "A", name: "other.test", ttl: 60, data: "192.0.2.2" },
      { type: "AAAA", name: "other.test", ttl: 60, data: "2001:db8::1" },
      { type: "TXT", name: "other.test", ttl: 60, data: "text" },
    ],
  }),
  encode({ type: "response", questions: [...questions] }),
];

describe("what the name service reads", () => {
  it(`never does more than to be refused: ${MESSAGES} queries of guests and as many answers (FUZZ_SEED=${SEED})`, () => {
    const random = createSeededRandom(SEED);
    let named = 0;
    let refused = 0;
    for (let n = 0; n < MESSAGES; n++) {
      const query = mutate(random, random.pick(QUERIES));
      const name = askedName(query);
      if (name !== undefined) {
        named++;
        assert.match(name, /^[a-z0-9_-]{1,63}(\.[a-z0-9_-]{1,63})*$/);
        assert.ok(name.length <= 255);
      }
      for (const reply of [refusal(query), serverFailure(query)]) {
        assert.ok(
          reply === undefined || (reply.length <= query.length && reply.readUInt16BE(0) === query.readUInt16BE(0)),
        );
        assert.ok(name === undefined || reply);
      }
    }
    for (let n = 0; n < MESSAGES; n++) {
      try {
        const { addresses, ttlSeconds } = addressesOf(mutate(random, random.pick(ANSWERS)), "www.example.test");
        assert.ok(addresses.length <= 64 && ttlSeconds >= 0);
        for (const address of addresses) assert.match(address, /^\d{1,3}(\.\d{1,3}){3}$/);
      } catch (error) {
        assert.ok(error instanceof Error && error.name !== "AssertionError", String(error));
        refused++;
      }
    }
    assert.ok(named > 1_000 && named < MESSAGES && refused > 1_000 && refused < MESSAGES, `${named} ${refused}`);
  });

  it("is no answer of more records than a few, which would take long", () => {
    const answers = Array.from({ length: 129 }, (_, n) => ({
      type: "A" as const,
      name: "www.example.test",
      data: `192.0.2.${n}`,
    }));
    const whole = encode({ type: "response", questions: [...questions], answers });
    assert.throws(() => addressesOf(whole, "www.example.test"), /129 records/);
  });
});

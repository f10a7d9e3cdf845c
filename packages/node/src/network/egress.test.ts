import assert from "node:assert/strict";
import { describe, it } from "node:test";
import { systemClock } from "@mags/core";
import type { EgressPolicy } from "@mags/domain";
import { type Answer, encode, type RecordType } from "dns-packet";
import fc from "fast-check";
import { addressesOf } from "./dns-answer.ts";
import { askedName } from "./dns-message.ts";
import { createEgress } from "./egress.ts";

const REFUSED = 5;

const query = (name: string, type: RecordType = "A", id = 1): Buffer =>
  encode({ type: "query", id, flags: 256, questions: [{ type, name }] });
const answer = (name: string, answers: Answer[]): Buffer =>
  encode({ type: "response", id: 1, questions: [{ type: "A", name }], answers });
const a = (name: string, data: string, ttl = 300): Answer => ({ type: "A", name, data, ttl });
const alias = (name: string, data: string): Answer => ({ type: "CNAME", name, data, ttl: 300 });

function setUp(policy: EgressPolicy) {
  let nowMs = 0;
  const policies: EgressPolicy[] = [];
  const allowed: { readonly addresses: readonly string[]; readonly seconds: number }[] = [];
  const egress = createEgress({
    clock: { ...systemClock, monotonicMs: () => nowMs },
    rules: {
      async setPolicy(_index, next) {
        policies.push(next);
      },
      async allow(_index, addresses, seconds) {
        allowed.push({ addresses, seconds });
      },
      denials: async () => [{ destination: "10.0.0.9:1/tcp", count: 1 }],
    },
  });
  const applied = egress.apply(5, policy);
  const rules = () => egress.dnsRules(5) ?? assert.fail("no rules");
  const elapse = (seconds: number) => {
    nowMs += seconds * 1000;
  };
  return { egress, applied, policies, allowed, rules, elapse };
}

describe("askedName", () => {
  it("gives the one name of a query, in lower case", () => {
    assert.equal(askedName(query("WWW.Example.Test")), "www.example.test");
    assert.equal(askedName(query("_dns.resolver_x.test", "SRV")), "_dns.resolver_x.test");
  });

  it("gives nothing for labels that could pass for two, for several questions, and for what is no query", () => {
    const dotted = query("aXexample.test");
    dotted.write(".", dotted.indexOf("X"), "latin1");
    const several = query("a.test");
    several.writeUInt16BE(2, 4);
    for (const bytes of [
      dotted,
      several,
      query("."),
      Buffer.alloc(12),
      Buffer.alloc(0),
      query("a.test").subarray(0, 16),
    ])
      assert.equal(askedName(bytes), undefined);
  });

  it("never throws", () => {
    fc.assert(fc.property(fc.uint8Array({ maxLength: 600 }), (bytes) => void askedName(Buffer.from(bytes))));
  });
});

describe("addressesOf", () => {
  it("follows aliases, in whatever order the records come", () => {
    const records = [
      a("c.test", "1.1.1.1"),
      alias("b.test", "C.test"),
      alias("A.test", "b.test"),
      a("c.test", "1.1.1.2", 60),
    ];
    assert.deepEqual(addressesOf(answer("a.test", records), "a.test"), {
      addresses: ["1.1.1.1", "1.1.1.2"],
      ttlSeconds: 300,
    });
  });

  it("leaves out addresses of names that the asked one does not lead to, and loops end", () => {
    const records = [a("evil.test", "6.6.6.6"), alias("a.test", "b.test"), alias("b.test", "a.test")];
    assert.deepEqual(addressesOf(answer("a.test", records), "a.test").addresses, []);
  });
});

describe("egress", () => {
  it("has no rules for the names of a guest that is only filtered", async () => {
    const { egress, applied, policies } = setUp("filtered");
    await applied;
    assert.equal(egress.dnsRules(5), undefined);
    assert.deepEqual(policies, []);
  });

  it("forgets the rules of the microVM that had the number before", async () => {
    const { egress, applied } = setUp("none");
    await applied;
    assert.ok(egress.dnsRules(5));
    await egress.apply(5, "filtered");
    assert.equal(egress.dnsRules(5), undefined);
  });

  it("puts another policy in force for a guest that runs, and goes on counting what it was denied", async () => {
    const { egress, applied, policies, rules } = setUp({ allow: ["a.test"] });
    await applied;
    assert.ok(rules().refuse(query("b.test")));
    await egress.change(5, { allow: ["b.test"] });
    assert.equal(rules().refuse(query("b.test")), undefined);
    assert.ok(rules().refuse(query("a.test")));
    const counts = (await egress.denials(5)).map(({ destination, count }) => `${destination} ${count}`);
    assert.deepEqual(counts.slice(1, 3), ["b.test 1", "a.test 1"]);
    await egress.change(5, "filtered");
    assert.equal(egress.dnsRules(5), undefined);
    assert.deepEqual(policies, [{ allow: ["a.test"] }, { allow: ["b.test"] }, "filtered"]);
  });

  it("refuses every name under none, and names that are not on a list, and counts them", async () => {
    const none = setUp("none");
    const refused = none.rules().refuse(query("a.test"))?.answer;
    assert.equal((refused?.readUInt8(3) ?? 0) & 15, REFUSED);
    const list = setUp({ allow: ["a.test"] });
    assert.equal(list.rules().refuse(query("A.test")), undefined);
    for (let n = 0; n < 2; n++) assert.ok(list.rules().refuse(query("b.a.test")));
    assert.deepEqual(await list.egress.denials(5), [
      { destination: "10.0.0.9:1/tcp", count: 1 },
      { destination: "b.a.test", count: 2 },
      { destination: "other destinations", count: 0 },
    ]);
  });

  it("allows the addresses of an answer for twice its time to live, and again before that is over", async () => {
    const { rules, allowed, elapse } = setUp({ allow: ["a.test"] });
    const admit = () => rules().admit(query("a.test"), answer("a.test", [a("a.test", "1.1.1.1", 100)]));
    await admit();
    elapse(99);
    await admit();
    assert.deepEqual(allowed, [{ addresses: ["1.1.1.1"], seconds: 200 }]);
    elapse(2);
    await admit();
    assert.equal(allowed.length, 2);
  });

  it("bounds the times: an answer for no time holds a minute, one for ever a day", async () => {
    const { rules, allowed } = setUp({ allow: ["a.test"] });
    await rules().admit(query("a.test"), answer("a.test", [a("a.test", "1.1.1.1", 0)]));
    await rules().admit(query("a.test"), answer("a.test", [a("a.test", "1.1.1.2", 4e9)]));
    assert.deepEqual(
      allowed.map(({ seconds }) => seconds),
      [120, 172_800],
    );
  });

  it("keeps an answer back that cannot be read", async () => {
    const { rules } = setUp({ allow: ["a.test"] });
    await assert.rejects(rules().admit(query("a.test"), Buffer.from("no answer at all")));
  });

  it("lets no late answer open what the next microVM with the number may reach", async () => {
    const { egress, rules, allowed } = setUp({ allow: ["evil.test"] });
    const late = rules();
    egress.forget(5);
    await egress.apply(5, { allow: ["pypi.test"] });
    await assert.rejects(late.admit(query("evil.test"), answer("evil.test", [a("evil.test", "6.6.6.6")])), /is gone/);
    assert.deepEqual(allowed, []);
  });

  it("changes the rules of a guest one time after the other, and not for what the change before has allowed", async () => {
    const { rules, allowed } = setUp({ allow: ["a.test"] });
    const same = answer("a.test", [a("a.test", "1.1.1.1")]);
    await Promise.all([1, 2, 3].map(() => rules().admit(query("a.test"), same)));
    assert.equal(allowed.length, 1);
  });

  it("bounds how often a name that always has other addresses changes the rules", async () => {
    const { rules, allowed } = setUp({ allow: ["a.test"] });
    const admit = (n: number) => rules().admit(query("a.test"), answer("a.test", [a("a.test", `1.1.1.${n}`)]));
    for (let n = 0; n < 50; n++) await admit(n);
    const next = admit(50);
    await new Promise(setImmediate);
    assert.equal(allowed.length, 50);
    await next;
    assert.equal(allowed.length, 51);
  });

  it("keeps the names of 128 hosts that were denied, and counts the others together", async () => {
    const { rules, egress } = setUp({ allow: ["a.test"] });
    for (let n = 0; n < 300; n++) rules().refuse(query(`n${n}.test`));
    const denials = await egress.denials(5);
    assert.equal(denials.length, 1 + 128 + 1);
    assert.deepEqual(denials.at(-1), { destination: "other destinations", count: 300 - 128 });
  });
});

import assert from "node:assert/strict";
import { it } from "node:test";
import { parseDenials } from "./namespace-rules.ts";

it("denials are read from what nft lists, with names for what people know", () => {
  const element = (address: string, protocol: string | number, port: number, packets: number) => ({
    elem: { val: { concat: [address, protocol, port] }, counter: { packets, bytes: 60 * packets } },
  });
  const elem = [
    element("10.1.2.3", "tcp", 80, 3),
    element("10.213.0.1", "udp", 53, 1),
    element("192.0.2.1", "icmp", 0, 2),
    element("192.0.2.1", 253, 0, 1),
  ];
  const set = (elements: object) =>
    JSON.stringify({ nftables: [{ metainfo: {} }, { set: { name: "denials", ...elements } }] });
  const counters = (packets: number, denied: number) =>
    JSON.stringify({
      nftables: [
        { counter: { name: "over_limit", packets } },
        { counter: { name: "too_fast", packets: 0 } },
        { counter: { name: "denied_packets", packets: denied } },
      ],
    });
  const options = { dnsAddress: "10.213.0.1" };
  assert.deepEqual(parseDenials(`${set({ elem })}\n${counters(7, 27)}\n`, options), [
    { destination: "connections beyond the limit at a time", count: 7 },
    { destination: "10.1.2.3:80/tcp", count: 3 },
    { destination: "name service:53/udp", count: 1 },
    { destination: "192.0.2.1/icmp", count: 2 },
    { destination: "192.0.2.1/253", count: 1 },
    { destination: "other destinations", count: 20 },
  ]);
  assert.deepEqual(parseDenials(`${set({})}\n${counters(0, 0)}\n`, options), []);
});

/**
 * The gateway of URLs before ports of this machine, which stand for those of a guest: the host `pN.bench` leads to port N.
 * With the path of a socket the other half is apart, as in a server, and reached there; else it is in this process.
 */
import { randomUUID } from "node:crypto";
import { countBuffersAsHeap, silentLogger } from "@mags/core";
import { type AccountId, newJobId, type UrlDirectory } from "@mags/domain";
import { connectUpstream, startUrlGateway } from "@mags/edge";
import { createSimulatedSockets } from "@mags/test-kit";

countBuffersAsHeap(); // as magsd
const [path] = process.argv.slice(2);
const guest = newJobId();
const accountId = randomUUID() as AccountId;
const directory: UrlDirectory = {
  async route({ host }) {
    return { accountId, guest, port: Number(/^p(\d+)\.bench$/.exec(host)?.[1]), isPrivate: false, awakeMs: 3_600_000 };
  },
  certificate: async () => null,
  challenge: async () => null,
  note() {},
};

async function upstreamAt(place: string) {
  const upstream = connectUpstream({ log: silentLogger }, { path: place });
  await upstream.connected({ signal: AbortSignal.timeout(30_000) });
  return { node: upstream.visits, urls: upstream.urls };
}

const { node, urls } =
  path === undefined ? { node: createSimulatedSockets({ awaken() {} }), urls: directory } : await upstreamAt(path);
const gateway = await startUrlGateway(
  { directory: urls, node, log: silentLogger },
  {
    ...{ host: "127.0.0.1", port: 0, certificates: null, plain: null, isTrusted: () => false },
    limits: {
      ...{ connections: 20_000, headerBytes: 32 * 1024, headMs: 30_000, silentMs: 600_000 },
      ...{ wakeMs: 60_000, answerMs: 60_000, visitsPerGuest: 20_000 },
    },
  },
);
process.stdout.write(`${gateway.port}\n`);

/** The other half of a gateway of URLs that is apart from it, as a server has it: see url-gateway.ts. Its argument is the path of the socket. */
import { randomUUID } from "node:crypto";
import { countBuffersAsHeap, silentLogger } from "@mags/core";
import { type AccountId, newJobId } from "@mags/domain";
import { startEdgeServer } from "@mags/edge";
import { createSimulatedExecs, createSimulatedSockets } from "@mags/test-kit";

countBuffersAsHeap(); // as magsd
const [path] = process.argv.slice(2);
if (path === undefined) throw new Error("the path of a socket is missing");
const guests = { awaken() {} };
const guest = newJobId();
const accountId = randomUUID() as AccountId;
await startEdgeServer(
  {
    log: silentLogger,
    upstream: {
      node: Object.assign(createSimulatedExecs(guests), createSimulatedSockets(guests)),
      directory: null,
      urls: {
        async route({ host }) {
          return {
            accountId,
            guest,
            port: Number(/^p(\d+)\.bench$/.exec(host)?.[1]),
            isPrivate: false,
            awakeMs: 3_600_000,
          };
        },
        certificate: async () => null,
        challenge: async () => null,
        areOf: async (hosts) => hosts.map(() => false),
        note() {},
      },
    },
  },
  { path },
);
process.stdout.write("ready\n");

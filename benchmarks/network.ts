/**
 * What a guest carries to and from a service on this machine, through its tap, its namespace and its rules; without and
 * with the default cap. Reference: a client on this machine over loopback.
 */
import { createServer, request, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { Readable, Writable } from "node:stream";
import { pipeline } from "node:stream/promises";
import { run, startServer } from "@mags/e2e/harness";
import type { Benchmark } from "./context.ts";
import { percentile, round } from "./statistics.ts";

/** Set aside for benchmarks of networks (RFC 2544); exists while this runs. */
const SERVICE = "198.18.77.1";
const MIB = 1024 ** 2;
const TRANSFER_BYTES = 128 * MIB;
const RUNS = 5;

const chunk = Buffer.alloc(MIB);
function zeros(): Readable {
  let left = TRANSFER_BYTES / MIB;
  return new Readable({
    read() {
      this.push(left-- > 0 ? chunk : null);
    },
  });
}
const nowhere = () => new Writable({ write: (_chunk, _encoding, done) => done() });

/** Sends and takes as much as it can. */
async function startService(): Promise<Server> {
  const service = createServer((incoming, reply) => {
    if (incoming.method === "GET") {
      reply.writeHead(200, { "content-length": TRANSFER_BYTES });
      pipeline(zeros(), reply).catch(() => {}); // the client may go before the end
    } else
      pipeline(incoming, nowhere()).then(
        () => reply.end(),
        () => reply.destroy(),
      );
  });
  await new Promise<void>((resolve) => service.listen(0, SERVICE, resolve));
  return service;
}

async function loopbackSpeed(port: number): Promise<number> {
  const begunMs = performance.now();
  await new Promise<void>((resolve, reject) => {
    const outgoing = request({ host: SERVICE, port }, (reply) => {
      pipeline(reply, nowhere()).then(resolve, reject);
    });
    outgoing.on("error", reject).end();
  });
  return TRANSFER_BYTES / MIB / ((performance.now() - begunMs) / 1000);
}

export const network: Benchmark = async ({ say, note }) => {
  await using scope = new AsyncDisposableStack();
  await run("ip", ["addr", "add", `${SERVICE}/32`, "dev", "lo"]);
  scope.defer(async () => void (await run("ip", ["addr", "del", `${SERVICE}/32`, "dev", "lo"])));
  const service = scope.adopt(await startService(), (server) => void server.close());
  const { port } = service.address() as AddressInfo;
  const url = `http://${SERVICE}:${port}/`;
  const script = `for n in $(seq ${RUNS}); do
    curl -s -o /dev/null -w 'down %{speed_download}\\n' ${url}
    head -c ${TRANSFER_BYTES} /dev/zero | curl -s -T - -o /dev/null -w 'up %{speed_upload}\\n' ${url}
  done`;

  const loopback: number[] = [];
  for (let n = 0; n < RUNS; n++) loopback.push(await loopbackSpeed(port));
  say(`transfers of ${TRANSFER_BYTES / MIB} MiB, medians of ${RUNS}, MiB/s`);
  say(`  loopback on this machine  ${round(percentile(loopback, 0.5))}`);
  const figures: Record<string, unknown> = { loopback_mib_s: round(percentile(loopback, 0.5)) };
  for (const [name, bandwidth_mbit] of [
    ["without a cap", 0],
    ["with the default cap of 1000 Mbit/s", 1000],
  ] as const) {
    await using server = await startServer({ network: { exceptions: [`${SERVICE}/32`], bandwidth_mbit } });
    const { text, errors } = await server.mags(["run", script], { timeoutMs: 300_000 });
    const speeds = (direction: string) =>
      [...text.matchAll(new RegExp(`^${direction} ([\\d.]+)$`, "gm"))].map((match) => Number(match[1]) / MIB);
    if (speeds("down").length !== RUNS || speeds("up").length !== RUNS)
      throw new Error(`transfers failed: ${text}${errors}`);
    const [down, up] = ["down", "up"].map((direction) => round(percentile(speeds(direction), 0.5)));
    say(`  guest ${name}: to the guest ${down}, from the guest ${up}`);
    figures[bandwidth_mbit === 0 ? "uncapped" : "capped"] = { to_guest_mib_s: down, from_guest_mib_s: up };
  }
  note("network", figures);
};

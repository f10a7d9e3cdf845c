/** `npm run bench [-- NAME...]`: runs the benchmarks one after the other, prints their figures and writes them to benchmarks/results/. */
import { mkdirSync, writeFileSync } from "node:fs";
import { cpus, release, totalmem } from "node:os";
import { join } from "node:path";
import { startServer } from "@mags/e2e/harness";
import { burst } from "./burst.ts";
import { cleanState } from "./clean-state.ts";
import { coldStart } from "./cold-start.ts";
import { commandLine } from "./command-line.ts";
import type { Benchmark } from "./context.ts";
import { edgeApart } from "./edge-apart.ts";
import { exec } from "./exec.ts";
import { files } from "./files.ts";
import { floodingGuest } from "./flooding-guest.ts";
import { fuzz } from "./fuzz.ts";
import { manifestSize } from "./manifest-size.ts";
import { network } from "./network.ts";
import { parkedClones } from "./parked-clones.ts";
import { sleepWake } from "./sleep-wake.ts";
import { sshConnections } from "./ssh-connections.ts";
import { sshLatency } from "./ssh-latency.ts";
import { sshTransfer } from "./ssh-transfer.ts";
import { sshWake } from "./ssh-wake.ts";
import { startLatency } from "./start-latency.ts";
import { streams } from "./streams.ts";
import { urlRequests } from "./url-requests.ts";
import { urlWake } from "./url-wake.ts";
import { urlWebSockets } from "./url-web-sockets.ts";
import { workspaceFork } from "./workspace-fork.ts";
import { workspaceMemory } from "./workspace-memory.ts";
import { workspaceSync } from "./workspace-sync.ts";

const BENCHMARKS: Readonly<Record<string, Benchmark>> = {
  "start-latency": startLatency,
  "command-line": commandLine,
  burst,
  "cold-start": coldStart,
  "sleep-wake": sleepWake,
  "parked-clones": parkedClones,
  "manifest-size": manifestSize,
  network,
  "clean-state": cleanState,
  "flooding-guest": floodingGuest,
  fuzz,
  "edge-apart": edgeApart,
  exec,
  "ssh-latency": sshLatency,
  "ssh-transfer": sshTransfer,
  "ssh-connections": sshConnections,
  "ssh-wake": sshWake,
  "url-requests": urlRequests,
  "url-web-sockets": urlWebSockets,
  "url-wake": urlWake,
  files,
  streams,
  "workspace-sync": workspaceSync,
  "workspace-fork": workspaceFork,
  "workspace-memory": workspaceMemory,
};

const say = (line: string) => void process.stdout.write(`${line}\n`);
const figures = new Map<string, unknown>();
const names = process.argv.length > 2 ? process.argv.slice(2) : Object.keys(BENCHMARKS);
const unknown = names.filter((name) => !(name in BENCHMARKS));
if (unknown.length > 0) {
  say(`unknown: ${unknown.join(", ")}; there are: ${Object.keys(BENCHMARKS).join(", ")}`);
  process.exit(1);
}

const { accelerator } = await (async () => {
  await using server = await startServer();
  return await server.serverStatus();
})();
const machine = {
  at: new Date().toISOString(),
  accelerator,
  processors: `${cpus().length} × ${cpus()[0]?.model}`,
  memory_gib: Math.round(totalmem() / 1024 ** 3),
  kernel: release(),
  node: process.version,
};
say(
  Object.entries(machine)
    .map(([name, value]) => `${name} ${value}`)
    .join(", "),
);
for (const name of names) {
  say("");
  await BENCHMARKS[name]?.({ say, note: (figure, value) => void figures.set(figure, value) });
}
const directory = join(import.meta.dirname, "results");
mkdirSync(directory, { recursive: true });
const file = join(directory, `${machine.at.replaceAll(":", "-")}.json`);
writeFileSync(file, `${JSON.stringify({ machine, figures: Object.fromEntries(figures) }, null, 2)}\n`);
say(`\nwritten to ${file}`);

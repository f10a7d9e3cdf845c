/** The gateway of a server as a process of its own. Owns the socket that the server serves it on. */
import { chmod, lchown, mkdir, rm } from "node:fs/promises";
import { join } from "node:path";
import type { Logger } from "@mags/core";
import { type EdgeUpstream, startEdgeServer } from "@mags/edge";
import type { Places } from "../installation.ts";
import { endLeftGateway, endWhen, type KeptGateway, keepGateway } from "./keep-gateway.ts";
import type { GatewayTask } from "./messages.ts";
import type { SpawnedGateway } from "./spawn-gateway.ts";

export interface GatewayProcessOptions {
  /** That of a gateway. */
  readonly program: string;
  readonly places: Pick<Places, "gatewaySockets" | "gatewayProcess">;
  /** What it is to be; null: what the server is. */
  readonly uid: number | null;
  readonly ssh: GatewayTask["ssh"];
  readonly urls: GatewayTask["urls"];
  /** It is asked so often whether it is there, and ended when it has not answered for some times. Default 5 s. */
  readonly pingMs?: number;
}

/**
 * Resolves when it listens.
 * @throws AppError what it says when it cannot; the signal's reason.
 */
export async function startGatewayProcess(
  { upstream, log }: { readonly upstream: EdgeUpstream; readonly log: Logger },
  { program, places, uid, ssh, urls, pingMs = 5_000 }: GatewayProcessOptions,
  { signal }: { readonly signal: AbortSignal },
): Promise<KeptGateway> {
  const { gatewaySockets: directory, gatewayProcess: processFile } = places;
  const socket = join(directory, "server.sock");
  await endLeftGateway(processFile);
  await using scope = new AsyncDisposableStack();
  // The folder stays the server's: what its gateway could change there it could turn against it.
  const removeDirectory = () => rm(directory, { recursive: true, force: true });
  await removeDirectory();
  scope.defer(removeDirectory);
  await mkdir(directory, { mode: 0o700 });
  const server = scope.use(await startEdgeServer({ upstream, log }, { path: socket, pinging: { pingMs } }));
  await chmod(socket, 0o600);
  if (uid !== null) await lchown(socket, uid, uid);
  await chmod(directory, 0o711);

  /** One that does not answer any more is ended. */
  const lookAfter = (spawned: SpawnedGateway) => endWhen(() => server.edges().length === 0, spawned, pingMs);

  const gateway = scope.use(
    await keepGateway(
      { log },
      { program, processFile, task: { upstream: { path: socket }, ssh, urls, uid }, lookAfter },
      { signal },
    ),
  );
  const owned = scope.move();
  let closing: Promise<void> | undefined;
  return {
    ...{ ssh: gateway.ssh, urls: gateway.urls, certify: gateway.certify },
    get problem() {
      return gateway.problem;
    },
    [Symbol.asyncDispose]() {
      closing ??= owned.disposeAsync();
      return closing;
    },
  };
}

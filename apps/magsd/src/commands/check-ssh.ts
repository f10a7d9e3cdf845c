/** What `magsd doctor` says of the port for SSH, of a server as of an edge. */
import { createServer } from "node:net";
import type { ServerConfig } from "../config.ts";
import { placesOf } from "../installation.ts";
import type { ServerStatus } from "../status.ts";
import type { Finding } from "./check-object-store.ts";

const name = "SSH";

/** Of one that runs and has a gateway. */
export function openSshFinding(
  { port, problem }: NonNullable<Extract<ServerStatus, { readonly state: "running" }>["ssh"]>,
  config: ServerConfig,
): Finding {
  if (problem === null) return { name, state: "ok", found: `port ${port} is listened on` };
  return { name, state: "fail", found: problem, cure: `read ${placesOf(config).logFile}` };
}

/** Of one that does not run. */
export async function checkSshPort({ listen }: ServerConfig["ssh"]): Promise<Finding> {
  const taken = await whyTaken(listen);
  if (!taken) return { name, state: "ok", found: `${listen.host}:${listen.port} is free` };
  const cure = "end what listens there, or set ssh.listen.port, or ssh.enabled to false";
  return { name, state: "fail", found: `its address cannot be used: ${taken}`, cure };
}

export function whyTaken({
  host,
  port,
}: {
  readonly host: string;
  readonly port: number;
}): Promise<string | undefined> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", (error) => resolve(error.message));
    probe.listen(port, host, () => probe.close(() => resolve(undefined)));
  });
}

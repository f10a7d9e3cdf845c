/** The server's door for edges that run apart, as the configuration says. */
import { AppError, type Logger, messageOf } from "@mags/core";
import { type EdgeServer, type EdgeUpstream, startEdgeServer } from "@mags/edge";
import { type EdgesConfig, readEdgeSecret } from "./edge-config.ts";

/** @throws AppError that names the keys of the configuration when there is no secret, or the port cannot be had. */
export async function openEdges(
  deps: { readonly upstream: EdgeUpstream; readonly log: Logger },
  { listen: { host, port }, secret_file }: EdgesConfig,
): Promise<EdgeServer> {
  const secret = await readEdgeSecret(secret_file);
  try {
    return await startEdgeServer(deps, { host, port, secret });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause;
    throw new AppError(
      "unavailable",
      `cannot listen on ${host}:${port} for edges: ${messageOf(cause)}; set edges.listen in the configuration`,
      { cause },
    );
  }
}

import { runtimeOf } from "../images/artifacts.ts";
import { parseCidr } from "../network/addresses.ts";
import type { NodeOptions } from "../node.ts";
import { observeFiles } from "./observe-files.ts";
import { observeHost } from "./observe-host.ts";
import type { Owner, Trace } from "./trace.ts";

/**
 * All that carries a node's mark, on the host and in its data directory. It asks no server.
 * @param otherFiles  Whose what lies in the data directory besides the node's is; null for directories that the caller looks into.
 */
export async function observeNode(
  { artifactsFile, dataDirectory, config }: NodeOptions,
  otherFiles: Readonly<Record<string, Owner | null>>,
): Promise<Trace[]> {
  const marks = {
    runtime: await runtimeOf(artifactsFile),
    dataDirectory,
    prefix: config.network.prefix,
    uplinkRange: parseCidr(config.network.uplink_range),
    uidBase: config.uid_base,
  };
  return [...(await observeHost(marks)), ...(await observeFiles(dataDirectory, otherFiles))];
}

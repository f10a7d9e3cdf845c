/** The SSH gateway as the configuration says. */
import { AppError, messageOf } from "@mags/core";
import { type SshGateway, startSshGateway } from "@mags/edge";
import type { SshConfig } from "./ssh-config.ts";

/** @throws AppError `unavailable` that names the keys of the configuration when the port cannot be had. */
export async function openSsh(
  deps: Parameters<typeof startSshGateway>[0],
  { listen: { host, port }, limits }: SshConfig,
): Promise<SshGateway> {
  try {
    return await startSshGateway(deps, {
      ...{ host, port },
      limits: {
        signInMs: limits.sign_in_seconds * 1000,
        attempts: limits.attempts,
        channels: limits.channels,
        connections: limits.connections,
        accountConnections: limits.connections_per_account,
        accountChannels: limits.channels_per_account,
        strangers: limits.strangers_per_address,
        keepAliveMs: limits.keep_alive_seconds * 1000,
      },
    });
  } catch (cause) {
    if ((cause as NodeJS.ErrnoException).syscall === undefined) throw cause;
    throw new AppError(
      "unavailable",
      `cannot listen on ${host}:${port} for SSH: ${messageOf(cause)}; set ssh.listen in the configuration, or ssh.enabled to false`,
      { cause },
    );
  }
}

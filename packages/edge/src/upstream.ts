import type { ExecRuntime, GuestSockets, SshDirectory, UrlRegister } from "@mags/domain";

/** What a gateway needs of nodes. */
export type EdgeNode = Pick<ExecRuntime, "startExec"> & GuestSockets;

/** What gateways need of the rest of Mags, as an edge server has it. */
export interface EdgeUpstream {
  /** For SSH; null: it is not served. */
  readonly directory: SshDirectory | null;
  /** Null: URLs are not served. */
  readonly urls: UrlRegister | null;
  readonly node: EdgeNode;
}

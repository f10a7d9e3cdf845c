import type { ExecRuntime, GuestSockets, SshDirectory } from "@mags/domain";

/** What a gateway needs of nodes. */
export type EdgeNode = Pick<ExecRuntime, "startExec"> & GuestSockets;

/** What a gateway needs of the rest of Mags: in the same process, or reached by `connectUpstream`. */
export interface EdgeUpstream {
  readonly directory: SshDirectory;
  readonly node: EdgeNode;
}

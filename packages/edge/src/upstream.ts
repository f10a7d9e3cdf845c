import type { ExecRuntime, GuestSockets, SshDirectory, UrlDirectory } from "@mags/domain";

/** What a gateway needs of nodes. */
export type EdgeNode = Pick<ExecRuntime, "startExec"> & GuestSockets;

/** What a gateway needs of the rest of Mags: in the same process, or reached by `connectUpstream`. */
export interface EdgeUpstream {
  /** For SSH; null: it is not served. */
  readonly directory: SshDirectory | null;
  /** Null: URLs are not served. */
  readonly urls: UrlDirectory | null;
  readonly node: EdgeNode;
}

import type { NodeRuntime } from "@mags/domain";
import type { NodeConfig } from "./config.ts";
import type { Images } from "./images/image-administration.ts";
import type { NodeFootprint } from "./leaks/trace.ts";

export interface NodeOptions {
  /** Holds microVMs, templates, disks, output. Short: sockets lie below it. */
  readonly dataDirectory: string;
  readonly artifactsFile: string;
  readonly config: NodeConfig;
}

export interface Node extends NodeRuntime {
  readonly images: Images;
  /**
   * Ends the node's part of this process. Parked clones are removed; microVMs of jobs run on and are adopted by the next
   * process.
   */
  close(): Promise<void>;
  /** What it has on the host now. */
  footprint(): NodeFootprint;
  /** @throws AppError `unavailable` with the reason when it cannot make microVMs. */
  checkReady(): void;
  /**
   * Ties the data directory to an installation's database.
   * @throws AppError `unavailable` when it belongs to another installation, or served a later epoch of this one: the
   * database is an old copy then.
   */
  claim(installation: { readonly id: string; readonly epoch: number }): Promise<void>;
}

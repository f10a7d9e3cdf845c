/** What a server and the process of its gateway tell each other, over the channel that Node opens between them. */
import type { ErrorCode, LogFields } from "@mags/core";
import type { SshConfig } from "../ssh-config.ts";

/** From the server, once. */
export interface GatewayTask {
  /** Where the server serves its gateway. */
  readonly socket: string;
  readonly ssh: SshConfig;
  /** What it is to be once it listens; null: whatever it was started as. */
  readonly uid: number | null;
}

/** From the gateway. */
export type GatewayNews =
  | { readonly type: "listening"; readonly port: number; readonly fingerprint: string }
  | { readonly type: "failed"; readonly code: ErrorCode; readonly message: string }
  | {
      readonly type: "log";
      readonly level: "debug" | "info" | "warn" | "error";
      readonly event: string;
      readonly fields: LogFields;
    };

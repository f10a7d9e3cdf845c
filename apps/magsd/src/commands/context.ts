import type { ServerConfig } from "../config.ts";
import type { ServerUnit } from "../systemd.ts";

/** What every command of magsd gets. */
export interface CommandContext {
  readonly config: ServerConfig;
  readonly configFile: string;
  /** This program's own file, to start it again as the server. */
  readonly program: string;
  /** Where systemd runs the server that this configuration is for. */
  readonly unit?: ServerUnit | undefined;
  readonly print: (line: string) => void;
}

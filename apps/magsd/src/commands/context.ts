import type { ServerConfig } from "../config.ts";

/** What every command of magsd gets. */
export interface CommandContext {
  readonly config: ServerConfig;
  readonly configFile: string;
  /** This program's own file, to start it again as the server. */
  readonly program: string;
  readonly print: (line: string) => void;
}

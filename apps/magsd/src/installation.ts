/** Where an installation keeps its things. */
import { join } from "node:path";
import type { ServerConfig } from "./config.ts";

export interface Places {
  /** Held by the server as long as it lives: one per data directory. */
  readonly lockFile: string;
  readonly controlSocket: string;
  readonly logFile: string;
  readonly nodeDirectory: string;
  readonly postgresData: string;
  readonly postgresSockets: string;
  readonly postgresLog: string;
  readonly blockServerLog: string;
  /** Of the SSH gateway, and for its user only. */
  readonly gatewaySockets: string;
  readonly gatewayProcess: string;
  readonly uploads: string;
  /** With the key that secrets in the database are sealed with. */
  readonly sealingKey: string;
  /** Where the object store is a folder. */
  readonly objects: string;
  /** Says which folder that is. */
  readonly objectFolder: string;
}

export function placesOf(config: Pick<ServerConfig, "data_dir">): Places {
  return {
    lockFile: join(config.data_dir, "magsd.lock"),
    controlSocket: join(config.data_dir, "control.sock"),
    logFile: join(config.data_dir, "magsd.log"),
    nodeDirectory: config.data_dir,
    postgresData: join(config.data_dir, "postgres"),
    postgresSockets: join(config.data_dir, "pgsock"),
    postgresLog: join(config.data_dir, "postgres.log"),
    blockServerLog: join(config.data_dir, "block-server.log"),
    gatewaySockets: join(config.data_dir, "gateway"),
    gatewayProcess: join(config.data_dir, "gateway.json"),
    uploads: join(config.data_dir, "uploads"),
    sealingKey: join(config.data_dir, "sealing.key"),
    objects: join(config.data_dir, "objects"),
    objectFolder: join(config.data_dir, "objects.id"),
  };
}

/** Whether the server is the one that `./quickstart` installed, rather than one run from a source tree. */
export function isInstalled({ artifacts }: Pick<ServerConfig, "artifacts">): boolean {
  return artifacts === join(INSTALLED.program, "artifacts.json");
}

/** Everything `./quickstart` puts on a machine outside of the data directory. */
export const INSTALLED = {
  program: "/opt/mags",
  configuration: "/etc/mags",
  cache: "/var/cache/mags",
  links: ["/usr/local/bin/mags", "/usr/local/bin/magsd"],
} as const;

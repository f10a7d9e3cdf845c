/** What a server is made of besides the control plane, opened as the configuration says. */
import { type EmbeddedPostgres, startPostgres } from "@mags/control-plane";
import type { Clock, Logger } from "@mags/core";
import type { UploadSource } from "@mags/domain";
import type { EdgeUpstream } from "@mags/edge";
import { type Node, type NodeOptions, openNode, runtimeOf } from "@mags/node";
import { blockServerOf, type ServerProgram } from "./block-server.ts";
import { POSTGRES_UID, type ServerConfig } from "./config.ts";
import { type CertifiedGateway, openCertified } from "./gateway/certified-gateway.ts";
import { startGatewayProcess } from "./gateway/gateway-process.ts";
import { gatewayUid } from "./gateway/keep-gateway.ts";
import type { UrlTask } from "./gateway/messages.ts";
import { placesOf } from "./installation.ts";
import { claimObjectFolder } from "./object-folder.ts";

const DATABASE_NAME = "mags";

export interface ServerParts {
  /** Null where the configuration names an external database. */
  openDatabaseServer(options: { readonly signal: AbortSignal }): Promise<EmbeddedPostgres | null>;
  openNode(options: { readonly signal: AbortSignal; readonly uploads: UploadSource }): Promise<Node>;
  openGateway(upstream: EdgeUpstream, options: { readonly signal: AbortSignal }): Promise<CertifiedGateway>;
}

export function nodeOptionsOf(config: ServerConfig): NodeOptions {
  return { dataDirectory: placesOf(config).nodeDirectory, artifactsFile: config.artifacts, config: config.node };
}

export function partsOf(
  deps: { readonly clock: Clock; readonly log: Logger },
  config: ServerConfig,
  server: ServerProgram & { readonly gateway: string },
): ServerParts {
  return {
    async openDatabaseServer({ signal }) {
      if (config.database.url) return null;
      const places = placesOf(config);
      const place = {
        runtimeRoot: await runtimeOf(config.artifacts),
        dataDir: places.postgresData,
        socketDir: places.postgresSockets,
        logFile: places.postgresLog,
        uid: POSTGRES_UID,
        gid: POSTGRES_UID,
      };
      return startPostgres(deps, place, { database: DATABASE_NAME, signal });
    },
    async openNode({ signal, uploads }) {
      if (config.object_store.kind === "filesystem") await claimObjectFolder(config);
      const options = { ...nodeOptionsOf(config), blockServer: await blockServerOf(config, server) };
      return await openNode({ ...deps, uploads }, options, { signal });
    },
    openGateway(upstream, signals) {
      const { ssh, urls } = config;
      const { log } = deps;
      const open = (task: UrlTask | null) =>
        startGatewayProcess(
          { upstream, log },
          {
            ...{ program: server.gateway, places: placesOf(config), uid: gatewayUid() },
            ...{ ssh: ssh.enabled ? ssh : null, urls: task },
          },
          signals,
        );
      return openCertified({ log, open }, urls);
    },
  };
}

/** The images of this machine's node: through the server where one runs, else by the node's files. */
import { AppError, silentLogger, systemClock, untilAborted } from "@mags/core";
import { NO_UPLOADS } from "@mags/domain";
import { type ImageSummary, type Images, openNode, openStoredImages } from "@mags/node";
import { blockServerOf, type ServerProgram } from "./block-server.ts";
import type { ServerConfig } from "./config.ts";
import { callControlSocket } from "./control-socket.ts";
import { placesOf } from "./installation.ts";
import { nodeOptionsOf } from "./parts.ts";
import { serverStatus } from "./server-process.ts";

const CALL_MS = 60_000;
/** Boots a guest twice; emulated, beside others, that takes a while. */
const REGISTER_MS = 600_000;

export async function openImages(config: ServerConfig, server: ServerProgram): Promise<Images & AsyncDisposable> {
  if (await serverStatus(placesOf(config))) return imagesOfServer(config);
  const options = nodeOptionsOf(config);
  const stored = await openStoredImages(options);
  return {
    list: stored.list,
    checkName: stored.checkName,
    remove: stored.remove,
    collect: stored.collect,
    async register(build, name, { signal: ended } = {}) {
      // Trying an image takes a whole node: the one that is locked makes place for it.
      await stored[Symbol.asyncDispose]();
      const pool = { ...options.config.pool, min_idle: 0, max_idle: 0 };
      const deps = { uploads: NO_UPLOADS, clock: systemClock, log: silentLogger };
      const timeUp = AbortSignal.timeout(REGISTER_MS);
      const signal = ended ? AbortSignal.any([timeUp, ended]) : timeUp;
      const blockServer = await blockServerOf(config, server);
      const node = await openNode(deps, { ...options, config: { ...options.config, pool }, blockServer }, { signal });
      try {
        return await node.images.register(build, name, { signal });
      } finally {
        await node.close();
      }
    },
    [Symbol.asyncDispose]: () => stored[Symbol.asyncDispose](),
  };
}

function imagesOfServer(config: ServerConfig): Images & AsyncDisposable {
  const { controlSocket } = placesOf(config);
  async function call<T>(method: "GET" | "POST", target: string, timeoutMs = CALL_MS): Promise<T> {
    const reply = await callControlSocket<T>(controlSocket, method, target, timeoutMs);
    if (reply === undefined) throw new AppError("unavailable", "the server ended meanwhile: try again");
    return reply;
  }
  const query = (values: Record<string, string>) => new URLSearchParams(values).toString();
  return {
    list: () => call("GET", "/images"),
    checkName: async (name) => void (await call("GET", `/images/name?${query({ name })}`)),
    async register(build, name, { signal } = {}) {
      const registering = call<ImageSummary>("POST", `/images/register?${query({ build, name })}`, REGISTER_MS);
      // The server refuses a build that is gone by the time it gives it the name.
      return signal ? untilAborted(registering, signal) : registering;
    },
    remove: async (name) => void (await call("POST", `/images/remove?${query({ name })}`)),
    collect: () => call("POST", "/images/collect"),
    async [Symbol.asyncDispose]() {},
  };
}

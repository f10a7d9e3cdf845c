/** The gateway of URLs in front of web servers of this machine, in one process. */
import { once } from "node:events";
import type { Server } from "node:http";
import { type AddressInfo, connect } from "node:net";
import { AppError, silentLogger } from "@mags/core";
import { type AccountId, newJobId, type UrlAccess, type UrlRoute } from "@mags/domain";
import { createSimulatedSockets } from "@mags/test-kit";
import { startUrlGateway, type UrlGatewayOptions } from "../src/index.ts";

export interface UrlFront extends AsyncDisposable {
  readonly port: number;
  /** How many connections the guest has taken. */
  readonly dialled: number;
  readonly notes: UrlAccess[];
  /** What the host `box.example` leads to; may be changed. */
  readonly route: { -readonly [Key in keyof UrlRoute]: UrlRoute[Key] };
}

export const LIMITS: UrlGatewayOptions["limits"] = {
  ...{ connections: 10_000, headerBytes: 32 * 1024, headMs: 10_000, silentMs: 60_000 },
  ...{ wakeMs: 10_000, answerMs: 10_000, visitsPerGuest: 10_000 },
};

export const listening = async (server: Server) => {
  await once(server.listen(0, "127.0.0.1"), "listening");
  return (server.address() as AddressInfo).port;
};

/**
 * In front of what listens on that port: as `box.example`, as `private.example` to whom shows `open`, and, so that clients
 * need no other name, as 127.0.0.1.
 */
export async function startUrlFront(
  port: number,
  {
    limits = {},
    trusted = false,
    certificates = null,
    awaken = async () => {},
    lookUp = async () => {},
  }: {
    readonly limits?: Partial<typeof LIMITS>;
    readonly trusted?: boolean;
    readonly certificates?: UrlGatewayOptions["certificates"];
    /** Before each connection to the guest. */
    readonly awaken?: (signal: AbortSignal) => Promise<void>;
    /** Before each answer of the directory. */
    readonly lookUp?: (host: string) => Promise<void>;
  } = {},
): Promise<UrlFront> {
  const guest = newJobId();
  const route = {
    accountId: "account" as AccountId,
    guest,
    port,
    isPrivate: false,
    awakeMs: 3_600_000 as number | null,
  };
  const sockets = createSimulatedSockets({ awaken: () => {} });
  const notes: UrlAccess[] = [];
  let dialled = 0;
  const gateway = await startUrlGateway(
    {
      log: silentLogger,
      node: {
        async connect(...args) {
          dialled++;
          await awaken(args[2].signal);
          return await sockets.connect(...args);
        },
      },
      directory: {
        note: (access) => void notes.push(access),
        certificate: async () => null,
        challenge: async () => null,
        async route({ host, pass }) {
          await lookUp(host);
          if (["box.example", "127.0.0.1"].includes(host)) return route;
          if (host === "private.example" && pass === "open") return { ...route, isPrivate: true };
          if (host === "private.example") throw new AppError("unauthenticated", "this page is private");
          throw new AppError("url_not_found", `no sandbox is called <${host}>`);
        },
      },
    },
    {
      host: "127.0.0.1",
      port: 0,
      certificates,
      plain: null,
      isTrusted: () => trusted,
      limits: { ...LIMITS, ...limits },
    },
  );
  return {
    ...{ port: gateway.port, notes, route },
    get dialled() {
      return dialled;
    },
    [Symbol.asyncDispose]: () => gateway[Symbol.asyncDispose](),
  };
}

/** Says it on a connection of its own, and resolves with all that comes back until that is closed. */
export async function say(port: number, ...texts: readonly string[]): Promise<string> {
  const socket = connect(port, "127.0.0.1").on("error", () => {});
  let heard = "";
  socket.on("data", (bytes) => {
    heard += bytes.toString("latin1");
  });
  for (const text of texts) socket.write(text, "latin1");
  await once(socket, "close");
  return heard;
}

/** One process of a gateway, from its start to its end. */
import { spawn } from "node:child_process";
import { constants, setPriority } from "node:os";
import { AppError, identify, killAndWait, type Logger, type ProcessIdentity, sleep, untilAborted } from "@mags/core";
import type { GatewayNews, GatewayTask } from "./messages.ts";

export interface SpawnedGateway {
  readonly identity: ProcessIdentity;
  /** Resolves when it has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** Where, and its host key's fingerprint. @throws AppError what it says when it cannot; the signal's reason */
  listening(options: { readonly signal: AbortSignal }): Promise<Listening>;
  /** Lets it say goodbye to its clients. May be repeated. */
  end(): Promise<void>;
}

export interface Listening {
  readonly port: number;
  readonly fingerprint: string;
}

const END_MS = 10_000;

/** @param program  That of a gateway. */
export async function spawnGateway(
  program: string,
  task: GatewayTask,
  { log }: { readonly log: Logger },
): Promise<SpawnedGateway> {
  const child = spawn(process.execPath, [program], {
    cwd: "/",
    stdio: ["ignore", "ignore", "inherit", "ipc"],
  });
  const ended = Promise.withResolvers<void>();
  const told = Promise.withResolvers<Listening>();
  const fail = (error: AppError) => told.reject(error);
  told.promise.catch(() => {}); // whoever asks hears of it
  child.on("error", (cause) => {
    fail(new AppError("unavailable", `the SSH gateway cannot be started: ${cause.message}`, { cause }));
    if (child.pid === undefined) ended.resolve();
  });
  child.on("exit", () => {
    fail(new AppError("unavailable", "the SSH gateway ended as it started"));
    ended.resolve();
  });
  child.on("message", (message) => {
    const news = message as GatewayNews;
    if (news.type === "log") log[news.level](news.event, news.fields);
    else if (news.type === "listening") told.resolve(news);
    else fail(new AppError(news.code, news.message));
  });
  const identity = child.pid === undefined ? undefined : await identify(child.pid);
  if (!identity) {
    await told.promise;
    throw new AppError("unavailable", "the SSH gateway ended as it started");
  }
  // What strangers ask for comes after what the server itself does.
  setPriority(identity.pid, constants.priority.PRIORITY_NORMAL);
  child.send(task);
  let ending: Promise<void> | undefined;
  return {
    identity,
    ended: ended.promise,
    listening: ({ signal }) => untilAborted(told.promise, signal),
    end() {
      ending ??= (async () => {
        child.kill("SIGTERM");
        const patience = new AbortController();
        await Promise.race([ended.promise, sleep(END_MS, { signal: patience.signal }).catch(() => {})]);
        patience.abort();
        await killAndWait(identity);
      })();
      return ending;
    },
  };
}

/** One process of a gateway, from its start to its end. */
import { spawn } from "node:child_process";
import { constants, setPriority } from "node:os";
import {
  AppError,
  identify,
  killAndWait,
  type Logger,
  type ProcessIdentity,
  sleep,
  untilAborted,
  withDeadline,
} from "@mags/core";
import { readLines } from "./bounded-lines.ts";
import { GatewayNews, type GatewayOrder, type GatewayTask, MOST_NEWS_BYTES } from "./messages.ts";

export interface SpawnedGateway {
  readonly identity: ProcessIdentity;
  /** Resolves when it has ended, for whatever reason. */
  readonly ended: Promise<void>;
  /** Where, and the fingerprint of the host key. @throws AppError what it says when it cannot; the signal's reason */
  listening(options: { readonly signal: AbortSignal }): Promise<Listening>;
  /** To be shown from now on. */
  certify(certificates: GatewayOrder["certificates"]): void;
  /** How often it has said that it is alive. */
  signs(): number;
  /** It has said itself why it cannot begin. */
  refused(): boolean;
  /** Lets it say goodbye to its clients. May be repeated. @throws AppError this process may not end it */
  end(): Promise<void>;
  kill(): void;
  /** It does not run, and cannot be ended. */
  stuck(): boolean;
}

/** Of what is served. */
export type Listening = Pick<Extract<GatewayNews, { readonly type: "listening" }>, "ssh" | "urls">;

/** That of a server; an edge's waits for its server. */
const LISTEN_MS = 60_000;
const END_MS = 10_000;
/** What a gateway says beyond that in a second is counted only. */
const MOST_LINES = 200;
/** No gateway says as much in a second, whatever strangers do. */
const MOST_NEWS = 20_000;

export interface GatewayDeps {
  readonly log: Logger;
  /** Whether the server can be reached, at first and when that has changed: null, or why not. */
  readonly onUpstream?: (problem: string | null) => void;
}

/** @param program  That of a gateway. */
export async function spawnGateway(
  program: string,
  task: GatewayTask,
  { log, onUpstream }: GatewayDeps,
): Promise<SpawnedGateway> {
  const child = spawn(process.execPath, [program], { cwd: "/", env: {}, stdio: "pipe" });
  const ended = Promise.withResolvers<void>();
  const told = Promise.withResolvers<Listening>();
  told.promise.catch(() => {}); // whoever asks hears of it
  const fail = (message: string, cause?: unknown) => told.reject(new AppError("unavailable", message, { cause }));
  let isStuck = false;
  let ending: Promise<void> | undefined;
  child.on("error", (cause) => {
    if (child.pid !== undefined) {
      if (!isStuck && !ending) log.error("gateway.stuck", { pid: child.pid, error: cause.message });
      isStuck = true;
      return;
    }
    fail(`the gateway cannot be started: ${cause.message}`, cause);
    ended.resolve();
  });
  child.on("exit", (code, signal) => {
    log.info("gateway.ended", { pid: child.pid, code, signal });
    fail(`the gateway ended as it started (${signal ?? `exit code ${code}`}); the log may say why`);
    ended.resolve();
  });
  child.stdin.on("error", () => {}); // it has ended
  const allowed = allowance(log);
  const counted = countNews();
  let signs = 0;
  let hasRefused = false;
  let isBroken = false;
  const hear = (text: string) => {
    if (isBroken) return;
    const news = counted() ? parseNews(text) : undefined;
    if (!news) {
      isBroken = true;
      log.error("gateway.broke_rules", { pid: child.pid });
      child.kill("SIGKILL");
    } else if (news.type === "listening") told.resolve(news);
    else if (news.type === "failed") {
      hasRefused = true;
      told.reject(new AppError(news.code, news.message));
    } else if (news.type === "alive") {
      signs++;
      isStuck = false;
    } else if (news.type === "upstream") onUpstream?.(news.problem);
    else if (allowed()) log[news.level](news.event, news.fields);
  };
  const excess = () => void child.kill("SIGKILL");
  readLines(child.stdout, MOST_NEWS_BYTES, { line: hear, excess });
  const complain = (text: string) => allowed() && log.error("gateway.complains", { text });
  readLines(child.stderr, MOST_NEWS_BYTES, { line: complain, excess });
  const identity = child.pid === undefined ? undefined : await identify(child.pid);
  if (!identity) {
    await told.promise;
    throw new AppError("unavailable", "the gateway ended as it started");
  }
  lowerPriority(identity);
  child.stdin.write(`${JSON.stringify(task)}\n`);
  return {
    identity,
    ended: ended.promise,
    certify: (certificates) => void child.stdin.write(`${JSON.stringify({ certificates } satisfies GatewayOrder)}\n`),
    signs: () => signs,
    refused: () => hasRefused,
    listening({ signal }) {
      const late = () => new AppError("unavailable", "the gateway does not begin");
      const isNear = "path" in task.upstream;
      return untilAborted(isNear ? withDeadline(told.promise, LISTEN_MS, late) : told.promise, signal);
    },
    end() {
      ending ??= (async () => {
        await null; // a signal that is refused now is no news
        child.stdin.end(); // it ends with that, too, where it may not be sent signals
        child.kill("SIGTERM");
        const patience = new AbortController();
        await Promise.race([ended.promise, sleep(END_MS, { signal: patience.signal }).catch(() => {})]);
        patience.abort();
        await endGateway(identity);
      })();
      return ending;
    },
    kill: () => void child.kill("SIGKILL"),
    stuck: () => isStuck,
  };
}

/** @throws AppError this process may not end it */
export async function endGateway(identity: ProcessIdentity): Promise<void> {
  try {
    await killAndWait(identity);
  } catch (cause) {
    if (!(cause instanceof Error && "code" in cause && cause.code === "EPERM")) throw cause;
    const message = `the gateway (process ${identity.pid}) cannot be ended: root needs CAP_KILL for it`;
    throw new AppError("forbidden", message, { cause });
  }
}

/** What strangers ask for comes after what the server itself does. */
function lowerPriority({ pid }: ProcessIdentity): void {
  try {
    setPriority(pid, constants.priority.PRIORITY_NORMAL);
  } catch {
    // It has ended, of which others tell.
  }
}

function parseNews(text: string): GatewayNews | undefined {
  try {
    return GatewayNews.parse(JSON.parse(text));
  } catch {
    return undefined;
  }
}

/** Whether one more piece of news is not too much for this second. */
function countNews(): () => boolean {
  let second = 0;
  let count = 0;
  return () => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) [second, count] = [now, 0];
    return ++count <= MOST_NEWS;
  };
}

/** Whether one more line may be logged in this second. */
function allowance(log: Logger): () => boolean {
  let second = 0;
  let lines = 0;
  return () => {
    const now = Math.floor(performance.now() / 1000);
    if (now !== second) {
      if (lines > MOST_LINES) log.warn("gateway.lines_dropped", { count: lines - MOST_LINES });
      [second, lines] = [now, 0];
    }
    return ++lines <= MOST_LINES;
  };
}

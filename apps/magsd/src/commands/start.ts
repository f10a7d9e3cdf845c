import { spawn } from "node:child_process";
import { mkdir, open } from "node:fs/promises";
import { AppError, diskFullError, isDiskFull, messageOf, sleep } from "@mags/core";
import { placesOf } from "../installation.ts";
import { serverStatus, untilServerGone } from "../server-process.ts";
import { problemsOf } from "../status.ts";
import type { CommandContext } from "./context.ts";

/** The first start makes a database and boots a template; emulated, on a slow machine, that takes a while. */
const START_DEADLINE_MS = 180_000;
const STOP_DEADLINE_MS = 90_000;
const POLL_MS = 50;

/** Starts the server in the background and returns when it is ready. A server that runs already is left alone. */
export async function start(context: CommandContext): Promise<void> {
  const { config, print } = context;
  const places = placesOf(config);
  let status = await serverStatus(places);
  if (status?.state === "stopping") {
    await untilServerGone(status.pid, { deadlineMs: STOP_DEADLINE_MS });
    status = undefined;
  }
  const ran = status !== undefined;
  const server = ran ? undefined : await launch(context);
  for (let waited = 0; status?.state !== "running"; waited += POLL_MS) {
    if (waited > START_DEADLINE_MS)
      throw new AppError(
        "unavailable",
        `magsd is not ready after ${START_DEADLINE_MS / 1000} s; see ${places.logFile} and run magsd doctor`,
      );
    await sleep(POLL_MS);
    const ended = await server?.ended();
    status = await serverStatus(places);
    if (server && ended !== undefined) {
      await server.giveUp();
      // It may have had no room for its last words either.
      const why = (await isDiskFull(config.data_dir))
        ? diskFullError(config.data_dir).message
        : await server.lastWords(ended);
      throw new AppError("unavailable", `the server did not start: ${why}`);
    }
    if (ran && !status) throw new AppError("unavailable", `the server ended while it started; see ${places.logFile}`);
  }
  const { version, pid } = status;
  if (!status.ready)
    throw new AppError("unavailable", `magsd ${version} runs (pid ${pid}) but is not ready: ${problemsOf(status)}`);
  if (status.role === "edge")
    return print(`magsd ${version} runs${ran ? " already" : ""} (pid ${pid}) as an edge of ${status.upstream}`);
  const { api_url } = status;
  if (ran) return print(`magsd ${version} is running already (pid ${pid}) at ${api_url}`);
  print(
    `magsd ${version} runs (pid ${pid}) at ${api_url}, accelerator ${status.accelerator}: ${status.accelerator_reason}`,
  );
}

interface Launched {
  /** How its process ended; undefined while it lives. */
  ended(): Promise<string | undefined>;
  /** No more attempts are made. */
  giveUp(): Promise<void>;
  /** Why it ended, as it says itself, else the end of its log. */
  lastWords(ended: string): Promise<string>;
}

async function launch(context: CommandContext): Promise<Launched> {
  const { config, unit } = context;
  const { logFile } = placesOf(config);
  await mkdir(config.data_dir, { recursive: true, mode: 0o711 });
  // The server writes its log there itself; what comes on its output streams are the words of a process that dies.
  await using log = await open(logFile, "a", 0o600);
  const { size } = await log.stat();
  const words = async (ended: string) => lastWords(await readFrom(logFile, size), { logFile, ended });
  if (unit) {
    const refused = await unit.start().then(() => undefined, messageOf);
    return { ended: async () => refused ?? unit.ended(), giveUp: () => unit.stop(), lastWords: words };
  }
  const ended = launchAlone(context, log.fd);
  return { ended: async () => ended(), giveUp: async () => {}, lastWords: words };
}

/** @returns how the process ended, once it has. */
function launchAlone({ config, configFile, program }: CommandContext, log: number): () => string | undefined {
  let ended: string | undefined;
  const args = [program, "serve", "--config", configFile, "--log-file", placesOf(config).logFile];
  const child = spawn(process.execPath, args, { detached: true, stdio: ["ignore", log, log], cwd: "/" });
  child.once("error", (error) => {
    ended = error.message;
  });
  child.once("exit", (code, signal) => {
    ended = signal ? `it was ended by ${signal}` : `it ended with code ${code}`;
  });
  child.unref();
  return () => ended;
}

/** As the process said itself: on its output streams, which systemd takes elsewhere, or in its log. */
function lastWords(written: string, { logFile, ended }: { readonly logFile: string; readonly ended: string }): string {
  const lines = written.split("\n").filter((line) => line !== "");
  const words = lines.filter((line) => !line.startsWith("{"));
  if (words.length > 0)
    return words
      .join("\n")
      .replace(/^magsd: /, "")
      .slice(-2_000);
  const fatal = lines.findLast((line) => line.startsWith('{"level":"fatal"') && line.endsWith("}"));
  const { words: told } = JSON.parse(fatal ?? "{}") as { readonly words?: string };
  return told ?? `${ended}. The end of ${logFile}:\n${written.slice(-2_000)}`;
}

/** What a file holds from an offset on; all of it where it has become shorter, and no more than 1 MiB. */
async function readFrom(path: string, offset: number): Promise<string> {
  await using file = await open(path, "r");
  const { size } = await file.stat();
  const begin = Math.max(offset > size ? 0 : offset, size - 1024 * 1024);
  const buffer = Buffer.alloc(size - begin);
  await file.read(buffer, 0, buffer.length, begin);
  return buffer.toString("utf8");
}

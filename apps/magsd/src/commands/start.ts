import { spawn } from "node:child_process";
import { mkdir, open } from "node:fs/promises";
import { AppError, sleep } from "@mags/core";
import { callControlSocket } from "../control-socket.ts";
import { placesOf } from "../installation.ts";
import type { ServerStatus } from "../status.ts";
import type { CommandContext } from "./context.ts";

/** The first start makes a database and boots a template; emulated, on a slow machine, that takes a while. */
const START_DEADLINE_MS = 180_000;
const POLL_MS = 50;

/** Starts the server in the background and returns when it is ready. A server that runs already is left alone. */
export async function start({ config, configFile, print, program }: CommandContext): Promise<void> {
  const places = placesOf(config);
  const status = () => callControlSocket<ServerStatus>(places.controlSocket, "GET", "/status", 5_000);
  const running = await status();
  if (running?.ready)
    return print(`magsd ${running.version} is running already (pid ${running.pid}) at ${running.api_url}`);

  let ended: string | undefined;
  if (!running) {
    await mkdir(config.data_dir, { recursive: true, mode: 0o711 });
    // The server writes its log there itself; what comes on its output streams are the words of a process that dies.
    const log = await open(places.logFile, "a", 0o600);
    const child = spawn(process.execPath, [program, "serve", "--config", configFile, "--log-file", places.logFile], {
      detached: true,
      stdio: ["ignore", log.fd, log.fd],
      cwd: "/",
    });
    await log.close();
    child.once("error", (error) => {
      ended = error.message;
    });
    child.once("exit", (code, signal) => {
      ended = signal ? `it was ended by ${signal}` : `it ended with code ${code}`;
    });
    child.unref();
  }
  for (let waited = 0; ; waited += POLL_MS) {
    const now = await status();
    if (now?.ready) {
      print(
        `magsd ${now.version} runs (pid ${now.pid}) at ${now.api_url}, accelerator ${now.accelerator}: ${now.accelerator_reason}`,
      );
      return;
    }
    if (ended)
      throw new AppError(
        "unavailable",
        `magsd did not start: ${ended}. Its last words, from ${places.logFile}:\n${await tail(places.logFile)}`,
      );
    if (waited > START_DEADLINE_MS)
      throw new AppError(
        "unavailable",
        `magsd is not ready after ${START_DEADLINE_MS / 1000} s; see ${places.logFile} and run magsd doctor`,
      );
    await sleep(POLL_MS);
  }
}

async function tail(path: string): Promise<string> {
  const file = await open(path, "r");
  try {
    const { size } = await file.stat();
    const length = Math.min(size, 2_000);
    const buffer = Buffer.alloc(length);
    await file.read(buffer, 0, length, size - length);
    return buffer.toString("utf8");
  } finally {
    await file.close();
  }
}

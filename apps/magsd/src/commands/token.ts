/** A token of the bootstrap account, for whoever may read the server's control socket. */
import { chmod, mkdir, readFile } from "node:fs/promises";
import { homedir } from "node:os";
import { dirname, join } from "node:path";
import { AppError } from "@mags/core";
import { writeFileDurably } from "@mags/node";
import { callControlSocket } from "../control-socket.ts";
import { placesOf } from "../installation.ts";
import type { CommandContext } from "./context.ts";

interface CliConfig {
  readonly api_url?: string;
  readonly api_token?: string;
}

const CALL_MS = 10_000;

export async function token(
  { config, print }: CommandContext,
  options: { readonly save: boolean; readonly name: string },
): Promise<void> {
  const { controlSocket } = placesOf(config);
  const issue = async () => {
    const reply = await callControlSocket<{ token: string; api_url: string }>(
      controlSocket,
      "POST",
      `/token?name=${encodeURIComponent(options.name)}`,
      CALL_MS,
    );
    if (!reply) throw new AppError("unavailable", "magsd is not running; start it with: magsd start");
    return reply;
  };
  if (!options.save) return print((await issue()).token);

  const path = join(homedir(), ".mags", "config.json");
  const kept = await readCliConfig(path);
  if (kept) {
    const state = await stateOf(controlSocket, kept);
    if (state === "other-server")
      return print(
        `${path} points to ${kept.api_url} and is kept; use this server's API with MAGS_API_URL and MAGS_API_TOKEN=$(magsd token)`,
      );
    if (state === "valid") return print(`${path} holds a valid token for this server and is kept`);
  }
  const { token: fresh, api_url } = await issue();
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  await writeFileDurably(path, `${JSON.stringify({ ...kept, api_url, api_token: fresh }, null, 2)}\n`);
  print(`wrote a token for ${api_url} to ${path}`);
}

/** A file that cannot be read as JSON is an error: it may hold what somebody still needs. */
async function readCliConfig(path: string): Promise<CliConfig | undefined> {
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
    throw error;
  }
  try {
    return JSON.parse(text) as CliConfig;
  } catch {
    throw new AppError("validation_failed", `${path} is not JSON; move it away and run this again`);
  }
}

async function stateOf(controlSocket: string, kept: CliConfig): Promise<"valid" | "dead" | "other-server"> {
  const query = new URLSearchParams({ api_url: kept.api_url ?? "", token: kept.api_token ?? "" });
  const reply = await callControlSocket<{ state: "valid" | "dead" | "other-server" }>(
    controlSocket,
    "GET",
    `/token-state?${query}`,
    CALL_MS,
  );
  if (!reply) throw new AppError("unavailable", "magsd is not running; start it with: magsd start");
  return reply.state;
}

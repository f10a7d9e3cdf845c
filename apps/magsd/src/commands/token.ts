/** A token of the bootstrap account, for whoever may read the server's control socket. */
import { chmod, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { AppError } from "@mags/core";
import { writeFileDurably } from "@mags/node";
import { type CliConfig, readCliConfig } from "../cli-config.ts";
import { callControlSocket } from "../control-socket.ts";
import { placesOf } from "../installation.ts";
import type { CommandContext } from "./context.ts";

interface Issued {
  readonly token: string;
  readonly api_url: string;
}

type TokenState = "valid" | "dead" | "other-server";

const CALL_MS = 10_000;

export async function token(
  { config, print }: CommandContext,
  options: { readonly save: boolean; readonly env: boolean; readonly name: string },
): Promise<void> {
  const call = async <T>(method: "GET" | "POST", target: string): Promise<T> => {
    const reply = await callControlSocket<T>(placesOf(config).controlSocket, method, target, CALL_MS);
    if (!reply) throw new AppError("unavailable", "magsd is not running; start it with: magsd start");
    return reply;
  };
  const issue = () => call<Issued>("POST", `/token?name=${encodeURIComponent(options.name)}`);
  const stateOf = async ({ apiUrl, apiToken }: CliConfig): Promise<TokenState> => {
    const query = new URLSearchParams({ api_url: apiUrl, token: apiToken });
    return (await call<{ state: TokenState }>("GET", `/token-state?${query}`)).state;
  };
  if (!options.save && !options.env) return print((await issue()).token);

  const kept = await readCliConfig();
  const state = await stateOf(kept);
  if (options.env) {
    const { token, api_url } = state === "valid" ? { token: kept.apiToken, api_url: kept.apiUrl } : await issue();
    return print(`export MAGS_API_URL=${quoted(api_url)} MAGS_API_TOKEN=${quoted(token)}`);
  }
  const { path } = kept;
  if (state === "other-server" && (kept.entries.api_url || kept.entries.api_token))
    return print(
      `${path} is for ${kept.apiUrl} and is kept; to use this server in a shell: eval "$(magsd token --env)"`,
    );
  if (state === "valid") return print(`${path} holds a valid token for this server and is kept`);
  const { token: fresh, api_url } = await issue();
  await mkdir(dirname(path), { recursive: true, mode: 0o700 });
  await chmod(dirname(path), 0o700);
  await writeFileDurably(path, `${JSON.stringify({ ...kept.entries, api_url, api_token: fresh }, null, 2)}\n`);
  print(`wrote a token for ${api_url} to ${path}`);
}

/** As a word of a shell. */
function quoted(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

import { configPath, readConfigFile } from "../../sdk/config-file.ts";
import { tokenFromEnvironment } from "../../sdk/settings.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { saveConfig } from "../save-config.ts";

/** Removes the kept token; the server's address and other settings stay. */
export async function logout(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  const { path, apiToken, entries } = readConfigFile(configPath(cli.home));
  if (apiToken !== undefined) {
    const { api_token: _, ...rest } = entries;
    saveConfig(path, rest);
  }
  if (flags.json) await printJson(cli, { signed_out: apiToken !== undefined });
  else if (apiToken === undefined) await print(cli, "You were not signed in.");
  else await print(cli, `Signed out: the token was removed from ${path}`);
  const given = tokenFromEnvironment(cli.env);
  if (given) await note(cli, `${given.origin} is set and still gives a token.`);
  return 0;
}

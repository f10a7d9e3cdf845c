import { Mags } from "../../sdk/mags.ts";
import { normalizeToken } from "../../sdk/settings.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { findCredentials } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { readSecret } from "../read-secret.ts";
import { saveConfig } from "../save-config.ts";

export interface LoginFlags {
  readonly token?: string;
  readonly json?: boolean;
}

/** Checks a token with the server and keeps it, with the server's address, in the config file. */
export async function login(cli: Cli, flags: LoginFlags): Promise<number> {
  const { apiUrl, file, token } = findCredentials(cli.env, cli.home);
  const given = flags.token ?? (await askForToken(cli, apiUrl));
  const apiToken = normalizeToken(given, flags.token === undefined ? "the input" : "--token");
  const account = await new Mags({ apiToken, apiUrl }).me();
  saveConfig(file.path, { ...file.entries, api_url: apiUrl, api_token: apiToken });
  if (flags.json) await printJson(cli, { ...account, api_url: apiUrl });
  else await print(cli, cli.styles.stdout.green(`Signed in to ${apiUrl} as ${account.email}`));
  if (token !== undefined && token.origin !== file.path)
    await note(cli, `${token.origin} is set and goes before the token kept in ${file.path}.`);
  return 0;
}

async function askForToken(cli: Cli, apiUrl: string): Promise<string> {
  if (cli.stdin().isTTY)
    await note(
      cli,
      `You need an access token of ${apiUrl}. On the machine of that server, magsd token prints one;\nelse ask whoever runs it. For another server, set MAGS_API_URL first.`,
    );
  const line = await readSecret(cli, "Token (not shown): ");
  if (line === undefined || line.trim() === "")
    throw new Failure("no token was given", "Or give it with: mags login --token TOKEN");
  return line;
}

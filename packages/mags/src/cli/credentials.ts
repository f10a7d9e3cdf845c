import { DEFAULT_API_URL, normalizeApiUrl } from "../sdk/api-url.ts";
import { type ConfigFile, configPath, readConfigFile } from "../sdk/config-file.ts";
import { Mags } from "../sdk/mags.ts";
import { apiUrlOf, type Environment, normalizeToken, tokenFromEnvironment } from "../sdk/settings.ts";
import { type Cli, warn } from "./cli.ts";
import { Failure } from "./failure.ts";

export interface Credentials {
  readonly apiUrl: string;
  readonly file: ConfigFile;
  /** Where the token is from: the name of a variable or of the file. */
  readonly token: { readonly text: string; readonly origin: string } | undefined;
  /** Set when the file holds a token that belongs to another server. */
  readonly tokenIsFor: string | undefined;
}

/** A token of the environment goes to whatever address is configured, one of the file only to that file's address. */
export function findCredentials(env: Environment, home: string): Credentials {
  const file = readConfigFile(configPath(home));
  const apiUrl = apiUrlOf(env, () => file.apiUrl, file.path);
  const given = tokenFromEnvironment(env);
  if (given) return { apiUrl, file, token: { text: given.token, origin: given.origin }, tokenIsFor: undefined };
  if (file.apiToken === undefined) return { apiUrl, file, token: undefined, tokenIsFor: undefined };
  const fileUrl = addressOf(file);
  if (fileUrl !== apiUrl) return { apiUrl, file, token: undefined, tokenIsFor: fileUrl };
  const text = normalizeToken(file.apiToken, `api_token in ${file.path}`);
  return { apiUrl, file, token: { text, origin: file.path }, tokenIsFor: undefined };
}

function addressOf(file: ConfigFile): string {
  return file.apiUrl === undefined ? DEFAULT_API_URL : normalizeApiUrl(file.apiUrl, `api_url in ${file.path}`);
}

/** A client with the credentials of this invocation. */
export async function connect(cli: Cli): Promise<Mags> {
  const { apiUrl, file, token, tokenIsFor } = findCredentials(cli.env, cli.home);
  if (token === undefined)
    throw new Failure(
      tokenIsFor === undefined
        ? `you are not signed in to ${apiUrl}`
        : `you are not signed in to ${apiUrl}: the token in ${file.path} is for ${tokenIsFor} and goes nowhere else`,
      "Sign in with: mags login\nOr set the environment variable MAGS_API_TOKEN.",
    );
  if (token.origin === file.path && file.exposed)
    await warn(cli, `other users can read your token: chmod 600 ${file.path}`);
  return new Mags({ apiToken: token.text, apiUrl });
}

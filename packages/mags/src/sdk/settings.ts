import { DEFAULT_API_URL, normalizeApiUrl } from "./api-url.ts";
import { configPath, readConfigFile } from "./config-file.ts";
import { clientError } from "./errors.ts";

export type Environment = Readonly<Record<string, string | undefined>>;

/** A token as it is sent. Blanks and newlines around it come from files and terminals. */
export function normalizeToken(text: string, origin: string): string {
  const token = text.trim();
  if (!/^[\x21-\x7e]+$/.test(token))
    throw clientError("invalid_argument", `${origin} is not a token: it holds blanks or other characters no token has`);
  return token;
}

/** The token that the environment gives, and the variable it came from. */
export function tokenFromEnvironment(
  env: Environment,
): { readonly token: string; readonly origin: string } | undefined {
  for (const origin of ["MAGS_API_TOKEN", "MAGS_TOKEN"]) {
    const text = env[origin];
    if (text) return { token: normalizeToken(text, origin), origin };
  }
  return undefined;
}

/** `MAGS_API_URL`, else the address in the config file, else the local server. */
export function apiUrlOf(env: Environment, fileApiUrl: () => string | undefined, filePath: string): string {
  if (env.MAGS_API_URL) return normalizeApiUrl(env.MAGS_API_URL, "MAGS_API_URL");
  const fromFile = fileApiUrl();
  return fromFile === undefined ? DEFAULT_API_URL : normalizeApiUrl(fromFile, `api_url in ${filePath}`);
}

/** Settings of a client in a program: arguments, then the environment; the address also from the config file. */
export function clientSettings(
  { apiToken, apiUrl }: { readonly apiToken?: string | undefined; readonly apiUrl?: string | undefined },
  env: Environment,
  home: string,
): { readonly apiToken: string; readonly apiUrl: string } {
  const token = apiToken ? normalizeToken(apiToken, "apiToken") : tokenFromEnvironment(env)?.token;
  if (token === undefined)
    throw clientError("no_token", "no API token: pass apiToken or set the environment variable MAGS_API_TOKEN");
  const path = configPath(home);
  return {
    apiToken: token,
    apiUrl: apiUrl ? normalizeApiUrl(apiUrl, "apiUrl") : apiUrlOf(env, () => readConfigFile(path).apiUrl, path),
  };
}

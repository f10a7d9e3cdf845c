import { type Cli, print, printJson } from "../cli.ts";
import { connect, findCredentials } from "../credentials.ts";
import { writeFields } from "../format.ts";

export async function whoami(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  const mags = await connect(cli);
  const { apiUrl, token } = findCredentials(cli.env, cli.home);
  const [account, ssh] = await Promise.all([mags.me(), mags.sshService()]);
  if (flags.json) {
    await printJson(cli, { ...account, api_url: apiUrl, token_from: token?.origin, ssh });
    return 0;
  }
  const fields: readonly (readonly [string, string | undefined])[] = [
    ["Account", `${account.email} (${account.role})`],
    ["Server", apiUrl],
    ["Token from", token?.origin],
    ["SSH", ssh.enabled ? `${ssh.host} port ${ssh.port}, host key ${ssh.fingerprint}` : undefined],
  ];
  await print(cli, writeFields(fields));
  return 0;
}

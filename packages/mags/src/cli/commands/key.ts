import { MagsError } from "../../sdk/errors.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { age, writeTable } from "../format.ts";
import { readPublicKeyFile } from "../keys/public-key-file.ts";
import { sign } from "../keys/sign.ts";

interface JsonFlag {
  readonly json?: boolean;
}

export interface AddKeyFlags extends JsonFlag {
  readonly name?: string;
}

export async function addKey(cli: Cli, given: string | undefined, flags: AddKeyFlags): Promise<number> {
  const { path, line } = readPublicKeyFile(cli.home, given);
  const mags = await connect(cli);
  const { name } = flags;
  const key = await mags.sshKeys.add(line, { name, sign: (challenge) => sign(cli, path, challenge) }).catch(explained);
  if (flags.json) await printJson(cli, key);
  else await print(cli, `SSH key ${key.name} added: ${key.fingerprint}`);
  return 0;
}

function explained(error: unknown): never {
  if (!(error instanceof MagsError) || error.code !== "ssh_key_name_taken") throw error;
  throw new Failure(error.message, "Name it with: mags key add --name NAME");
}

export async function listKeys(cli: Cli, flags: JsonFlag): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.sshKeys.list();
  if (flags.json) {
    await printJson(cli, reply);
    return 0;
  }
  if (reply.keys.length === 0) {
    await note(cli, "There are no SSH keys on your account. Add yours with: mags key add");
    return 0;
  }
  const titles = ["NAME", "TYPE", "FINGERPRINT", "ADDED", "USED"].map((title) => cli.styles.stdout.bold(title));
  const ago = (at: string | null) => (at === null ? "never" : `${age(at, cli.now())} ago`);
  const rows = reply.keys.map(({ name, type, fingerprint, created_at, last_used_at }) => {
    return [name, type, fingerprint, ago(created_at), ago(last_used_at)];
  });
  await print(cli, writeTable([titles, ...rows]));
  return 0;
}

export async function removeKey(cli: Cli, which: string, flags: JsonFlag): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.sshKeys.remove(which);
  if (flags.json) await printJson(cli, reply);
  else await print(cli, reply.message);
  return 0;
}

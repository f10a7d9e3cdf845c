import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";

export async function sync(cli: Cli, name: string, flags: { readonly json?: boolean }): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.sync(name);
  if (flags.json) await printJson(cli, reply);
  else await print(cli, reply.message);
  return 0;
}

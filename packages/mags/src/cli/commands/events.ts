import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { writeTable } from "../format.ts";

export async function events(cli: Cli, name: string, flags: { readonly json?: boolean }): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.events(name);
  if (flags.json) {
    await printJson(cli, reply);
    return 0;
  }
  const { gray, bold } = cli.styles.stdout;
  if (reply.events.length > 0)
    await print(cli, writeTable(reply.events.map(({ at, name, message }) => [gray(at), bold(name), message])));
  return 0;
}

import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";

export interface StopFlags {
  readonly force?: boolean;
  readonly json?: boolean;
}

export async function stop(cli: Cli, name: string, flags: StopFlags): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.stop(name, { force: flags.force });
  if (flags.json) await printJson(cli, reply);
  else await print(cli, reply.message ?? `Stopped ${name}`);
  return 0;
}

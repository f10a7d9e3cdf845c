import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";

export async function wake(cli: Cli, name: string, flags: { readonly json?: boolean }): Promise<number> {
  const mags = await connect(cli);
  const job = await mags.wake(name);
  if (flags.json) await printJson(cli, job);
  else await print(cli, job.status === "running" ? `${job.name} runs` : `${job.name} is ${job.status}`);
  return 0;
}

import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";

export async function sleep(cli: Cli, name: string, flags: { readonly json?: boolean }): Promise<number> {
  const mags = await connect(cli);
  const job = await mags.sleep(name);
  if (flags.json) await printJson(cli, job);
  else
    await print(
      cli,
      job.status === "sleeping"
        ? `${job.name} sleeps; wake it with: mags wake ${name}`
        : `${job.name} is ${job.status}`,
    );
  return 0;
}

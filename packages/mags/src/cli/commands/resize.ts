import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";

export interface ResizeFlags {
  readonly disk: number;
  readonly json?: boolean;
}

export async function resize(cli: Cli, name: string, flags: ResizeFlags): Promise<number> {
  const mags = await connect(cli);
  const { requestId, status } = await mags.resize(name, flags.disk);
  if (flags.json) await printJson(cli, { request_id: requestId, status, disk_gb: flags.disk });
  else await print(cli, `${name} has a disk of ${flags.disk} GB`);
  return 0;
}

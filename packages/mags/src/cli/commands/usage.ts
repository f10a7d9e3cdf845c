import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { bytes, writeFields } from "../format.ts";

export interface UsageFlags {
  readonly days?: number;
  readonly json?: boolean;
}

export async function usage(cli: Cli, flags: UsageFlags): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.usage({ windowDays: flags.days });
  if (flags.json) {
    await printJson(cli, reply);
    return 0;
  }
  const fields: readonly (readonly [string, string | number])[] = [
    ["Window", `${reply.window_days} days`],
    ["Jobs", reply.total_jobs],
    ["Completed", reply.completed_jobs],
    ["Running", reply.running_jobs],
    ["Failed", reply.failed_jobs],
    ["VM time", `${reply.vm_seconds.toFixed(0)} s`],
    ["Storage", `${(reply.storage_bytes / 1e6).toFixed(1)} MB`],
    ["URL requests", reply.url_requests],
    ["URL traffic", `${bytes(reply.url_bytes_in)} in, ${bytes(reply.url_bytes_out)} out`],
  ];
  await print(cli, writeFields(fields));
  return 0;
}

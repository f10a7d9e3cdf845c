import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { writeFields } from "../format.ts";

export async function pool(cli: Cli, flags: { readonly json?: boolean }): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.poolStatus();
  if (flags.json) {
    await printJson(cli, reply);
    return 0;
  }
  const fields: readonly (readonly [string, string | number])[] = [
    ["Idle VMs", reply.idle_vms],
    ["Busy VMs", reply.busy_vms],
    ["Total VMs", reply.total_vms],
    [
      "Pool size",
      `${reply.min_pool_size} or more, ${reply.max_pool_size === 0 ? "no cap" : `at most ${reply.max_pool_size}`}`,
    ],
    ["Queued jobs", reply.queued_jobs],
    ["Accelerator", `${reply.accelerator} (${reply.accelerator_reason})`],
  ];
  await print(cli, writeFields(fields));
  return 0;
}

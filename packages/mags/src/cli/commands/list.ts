import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { age, duration, paintStatus, writeTable } from "../format.ts";

export interface ListFlags {
  readonly page?: number;
  readonly pageSize?: number;
  readonly status?: "pending" | "running" | "sleeping" | "completed" | "error";
  readonly workspace?: string;
  readonly label?: string;
  readonly json?: boolean;
}

export async function list(cli: Cli, flags: ListFlags): Promise<number> {
  const mags = await connect(cli);
  const { page, pageSize, status, workspace: workspaceId, label } = flags;
  const reply = await mags.list({ page, pageSize, status, workspaceId, label });
  if (flags.json) {
    await printJson(cli, reply);
    return 0;
  }
  const { bold } = cli.styles.stdout;
  const rows = reply.jobs.map((job) => [
    job.request_id,
    job.name,
    job.workspace_id ?? "-",
    paintStatus(cli.styles.stdout, job.status),
    String(job.exit_code ?? "-"),
    age(job.created_at, cli.now()),
    job.script_duration_ms === undefined ? "-" : duration(job.script_duration_ms),
  ]);
  await print(
    cli,
    writeTable([["ID", "NAME", "WORKSPACE", "STATUS", "EXIT", "AGE", "DURATION"].map((title) => bold(title)), ...rows]),
  );
  const shown = (reply.page - 1) * reply.page_size + reply.jobs.length;
  if (shown < reply.total) await note(cli, `${shown} of ${reply.total} jobs; more with --page ${reply.page + 1}`);
  return 0;
}

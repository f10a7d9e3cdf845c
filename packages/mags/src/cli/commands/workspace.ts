import { MagsError } from "../../sdk/errors.ts";
import type { Workspace } from "../../sdk/wire.generated.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { age, bytes, runningText, writeTable } from "../format.ts";
import { ask } from "../read-line.ts";

interface JsonFlag {
  readonly json?: boolean;
}

export interface DeleteFlags extends JsonFlag {
  readonly yes?: boolean;
}

export interface RestoreFlags extends JsonFlag {
  readonly version: number;
}

export async function listWorkspaces(cli: Cli, flags: JsonFlag): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.listWorkspaces();
  if (flags.json) {
    await printJson(cli, reply);
    return 0;
  }
  if (reply.workspaces.length === 0) {
    await note(cli, "There are no synced workspaces. Make one with: mags new NAME -p, or mags run -w NAME -p <script>");
    return 0;
  }
  const { bold } = cli.styles.stdout;
  const titles = ["WORKSPACE", "VERSION", "SIZE", "STORED", "SYNCED", "BASE", "JOB"].map((title) => bold(title));
  await print(cli, writeTable([titles, ...reply.workspaces.map((workspace) => rowOf(workspace, cli.now()))]));
  for (const { workspace_id, failure } of reply.workspaces)
    if (failure !== null) await note(cli, `${workspace_id} could not be synced: ${failure}`);
  return 0;
}

function rowOf(workspace: Workspace, nowMs: number): readonly string[] {
  const { workspace_id, version, size_bytes, stored_bytes, base, active_request_id } = workspace;
  return [
    workspace_id,
    version === null ? "-" : String(version),
    bytes(size_bytes),
    bytes(stored_bytes),
    syncedText(workspace, nowMs),
    base ? `${base.workspace_id}@${base.version}` : "-",
    active_request_id ?? "-",
  ];
}

function syncedText({ last_synced_at, behind_bytes, running }: Workspace, nowMs: number): string {
  const when = last_synced_at === null ? "never" : `${age(last_synced_at, nowMs)} ago`;
  const parts = [
    when,
    ...(behind_bytes > 0 ? [`${bytes(behind_bytes)} behind`] : []),
    ...(running ? [runningText(running)] : []),
  ];
  return parts.join(", ");
}

/** Asks before, and again when something has to be stopped for it. */
export async function deleteWorkspace(cli: Cli, name: string, flags: DeleteFlags): Promise<number> {
  const mags = await connect(cli);
  await sure(cli, flags, `Delete workspace ${name} and its data for good?`);
  const reply = await mags.deleteWorkspace(name).catch(async (error: unknown) => {
    if (!(error instanceof MagsError) || error.code !== "workspace_in_use") throw error;
    await sure(
      cli,
      flags,
      `${error.message}\nStop what stands on it, and delete it? Forks that are synced keep what changed in them; what is local is dropped.`,
    );
    return mags.deleteWorkspace(name, { force: true });
  });
  if (flags.json) await printJson(cli, reply);
  else await print(cli, reply.message);
  return 0;
}

async function sure(cli: Cli, { yes }: DeleteFlags, question: string): Promise<void> {
  if (yes) return;
  const answer = await ask(cli, `${question} [y/N] `);
  if (!/^y(es)?$/i.test(answer?.trim() ?? "")) throw new Failure("nothing was deleted", "To be asked nothing: -y");
}

export async function listVersions(cli: Cli, name: string, flags: JsonFlag): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.workspaceVersions(name);
  if (flags.json) {
    await printJson(cli, reply);
    return 0;
  }
  if (reply.versions.length === 0) {
    await note(cli, `${name} was not synced yet. Sync it with: mags sync ${name}`);
    return 0;
  }
  const titles = ["VERSION", "MADE", "WHY", "SIZE", "STORED"].map((title) => cli.styles.stdout.bold(title));
  const rows = reply.versions.map(({ version, created_at, reason, size_bytes, stored_bytes }) => {
    return [String(version), created_at, reason, bytes(size_bytes), bytes(stored_bytes)];
  });
  await print(cli, writeTable([titles, ...rows]));
  return 0;
}

export async function restoreWorkspace(cli: Cli, name: string, flags: RestoreFlags): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.restoreWorkspace(name, flags.version);
  if (flags.json) await printJson(cli, reply);
  else await print(cli, reply.message);
  return 0;
}

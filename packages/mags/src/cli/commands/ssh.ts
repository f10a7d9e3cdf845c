import type { Mags } from "../../sdk/mags.ts";
import { type Cli, note } from "../cli.ts";
import { connect } from "../credentials.ts";
import { runRemotely } from "../remote-command.ts";

export interface SshFlags {
  readonly verbose?: boolean;
}

const START_MS = 60_000;

/** A terminal in a sandbox, which is made where there is none. */
export async function ssh(cli: Cli, name: string, words: readonly string[], flags: SshFlags): Promise<number> {
  const command = words[0] === "--" ? words.slice(1) : words;
  const mags = await connect(cli);
  if (!(await lives(mags, name))) {
    await note(cli, `mags: there is no sandbox ${name}; making one`);
    await mags.new(name, { timeout: START_MS, persistent: await isSynced(mags, name) });
  }
  if (flags.verbose) await note(cli, "mags: this terminal is a streamed exec over the API; no ssh program is used");
  return runRemotely(cli, mags, name, {
    command: command.length === 0 ? undefined : command.join(" "),
    tty: command.length === 0 ? true : undefined,
  });
}

/** What was kept is opened to be kept. */
async function isSynced(mags: Mags, name: string): Promise<boolean> {
  const { workspaces } = await mags.listWorkspaces();
  return workspaces.some(({ workspace_id }) => workspace_id === name);
}

async function lives(mags: Mags, name: string): Promise<boolean> {
  const job = await mags.findJob(name);
  return job !== null && job.status !== "completed" && job.status !== "error";
}

import { isRequestId } from "../../sdk/job-path.ts";
import type { Mags } from "../../sdk/mags.ts";
import { type Cli, note } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { checkNameOrId } from "../ssh/sandbox-name.ts";
import { runSsh } from "../ssh/ssh-program.ts";
import { parseSshWords } from "../ssh/words.ts";

const START_MS = 60_000;
const SSH_PORT = 22;

/** The system's ssh into a sandbox, which is woken, or made where there is none. */
export async function ssh(cli: Cli, given: readonly string[]): Promise<number> {
  const words = parseSshWords(given);
  checkNameOrId(words.name);
  const mags = await connect(cli);
  const job = await mags.findJob(words.name);
  if (job === null || job.status === "completed" || job.status === "error") {
    if (isRequestId(words.name))
      throw job === null
        ? new Failure(`there is no job ${words.name}`, "See your jobs with: mags list")
        : new Failure(`job ${words.name} has ended`, `A sandbox of its name: mags ssh ${job.name}`);
    await note(cli, `mags: there is no sandbox ${words.name}; making one`);
    await mags.new(words.name, { timeout: START_MS, persistent: await isSynced(mags, words.name) });
  }
  return runSsh(cli, await mags.enableAccess(words.name, SSH_PORT), words);
}

/** What was kept is opened to be kept. */
async function isSynced(mags: Mags, name: string): Promise<boolean> {
  const { workspaces } = await mags.listWorkspaces();
  return workspaces.some(({ workspace_id }) => workspace_id === name);
}

import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { age, writeTable } from "../format.ts";

interface JsonFlag {
  readonly json?: boolean;
}

export interface AliasFlags extends JsonFlag {
  readonly domain?: string;
}

export async function createAlias(
  cli: Cli,
  subdomain: string,
  workspace: string,
  { domain, json }: AliasFlags,
): Promise<number> {
  const mags = await connect(cli);
  const alias = await mags.urlAliasCreate(subdomain, await workspaceOf(cli, workspace), domain);
  if (json) await printJson(cli, alias);
  else await print(cli, `URL: ${alias.url}`);
  return 0;
}

export async function moveAlias(
  cli: Cli,
  subdomain: string,
  workspace: string,
  { domain, json }: AliasFlags,
): Promise<number> {
  const mags = await connect(cli);
  const alias = await mags.urlAliasMove(subdomain, await workspaceOf(cli, workspace), domain);
  if (json) await printJson(cli, alias);
  else await print(cli, `${alias.url} leads to ${alias.workspace_id}`);
  return 0;
}

/** Of a job that is named otherwise than its workspace, that. */
async function workspaceOf(cli: Cli, name: string): Promise<string> {
  const mags = await connect(cli);
  const job = await mags.findJob(name);
  if (job === null) return name; // a workspace without jobs
  if (job.workspace_id === undefined)
    throw new Failure(
      `${name} has no workspace, and an alias leads to one`,
      "Give it one with: mags run -w NAME -p ...",
    );
  return job.workspace_id;
}

export async function listAliases(cli: Cli, flags: JsonFlag): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.urlAliasList();
  if (flags.json) {
    await printJson(cli, reply);
    return 0;
  }
  if (reply.aliases.length === 0) {
    await note(cli, "There are no aliases. Make one with: mags url alias <subdomain> <workspace>");
    return 0;
  }
  const titles = ["SUBDOMAIN", "WORKSPACE", "URL", "MADE"].map((title) => cli.styles.stdout.bold(title));
  const rows = reply.aliases.map(({ subdomain, workspace_id, url, created_at }) => {
    return [subdomain, workspace_id, url, `${age(created_at, cli.now())} ago`];
  });
  await print(cli, writeTable([titles, ...rows]));
  return 0;
}

export async function removeAlias(cli: Cli, subdomain: string, { domain, json }: AliasFlags): Promise<number> {
  const mags = await connect(cli);
  const reply = await mags.urlAliasDelete(subdomain, domain);
  if (json) await printJson(cli, reply);
  else await print(cli, reply.message);
  return 0;
}

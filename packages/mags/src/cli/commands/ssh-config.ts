import { join, resolve } from "node:path";
import { isRequestId } from "../../sdk/job-path.ts";
import type { Mags } from "../../sdk/mags.ts";
import { type Cli, note, print } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { checkName, checkServer } from "../ssh/check-server.ts";
import { createSshConfigFiles, type SshConfigFiles } from "../ssh/config-files.ts";
import { aliasOf, writeEntry } from "../ssh/entries.ts";
import { findOwnKey, readKeyFile } from "../ssh/own-keys.ts";
import { checkNameOrId } from "../ssh/sandbox-name.ts";

export interface SshConfigFlags {
  readonly write?: boolean;
  readonly remove?: boolean;
  readonly identity?: string;
}

const PAGE = 100;

/** Entries for ssh and what reads its configuration: printed, kept, or taken away. */
export async function sshConfig(cli: Cli, names: readonly string[], flags: SshConfigFlags): Promise<number> {
  if (flags.write && flags.remove) throw new Failure("--write and --remove cannot be combined");
  const files = createSshConfigFiles(cli.home);
  if (flags.remove) return remove(cli, names, files);
  const mags = await connect(cli);
  const { host, port, host_key: hostKey, fingerprint } = await mags.sshService();
  if (host === null || port === null || hostKey === null || fingerprint === null)
    throw new Failure("this server takes no SSH connections", "Its configuration decides: ssh.enabled.");
  const server = checkServer({ host, port, hostKey, fingerprint });
  const { knownHostsFile } = files;
  const identityFile =
    flags.identity === undefined ? await registeredKey(cli, mags) : await givenKey(cli, mags, flags.identity);
  const entries = new Map<string, string>();
  for (const name of names.length === 0 ? await liveNames(mags) : await knownNames(mags, names))
    entries.set(
      aliasOf(name),
      writeEntry({ ...{ name: checkName(name), port, identityFile, knownHostsFile, fingerprint }, hostName: host }),
    );
  files.keepHostKey(server);
  if (!flags.write) await print(cli, [...entries.values()].join("\n").trimEnd());
  else {
    files.keep(entries);
    await print(cli, `Kept in ${files.configFile}, which your ssh configuration includes:`);
    for (const alias of entries.keys()) await print(cli, `  ssh ${alias}`);
  }
  return 0;
}

async function remove(cli: Cli, names: readonly string[], files: SshConfigFiles): Promise<number> {
  const removed = files.remove(names.map(aliasOf));
  await print(cli, removed ? "Removed from your ssh configuration" : "There was nothing to remove");
  return 0;
}

/** Of sandboxes that run or sleep. */
async function liveNames(mags: Mags): Promise<string[]> {
  const names = new Set<string>();
  for (const status of ["running", "sleeping"] as const)
    for (let page = 1; ; page++) {
      const { jobs, total } = await mags.list({ status, page, pageSize: PAGE });
      for (const job of jobs) if (job.persistent) names.add(job.name);
      if (page * PAGE >= total) break;
    }
  if (names.size === 0) throw new Failure("you have no sandbox", "Make one with: mags new NAME");
  return [...names].sort();
}

/** As given, or the names of the jobs that were given by id. */
async function knownNames(mags: Mags, names: readonly string[]): Promise<string[]> {
  const { workspaces } = await mags.listWorkspaces();
  const found: string[] = [];
  for (const name of names) {
    checkNameOrId(name);
    const job = await mags.findJob(name);
    if (job === null && !workspaces.some(({ workspace_id }) => workspace_id === name))
      throw isRequestId(name)
        ? new Failure(`there is no job ${name}`, "See your jobs with: mags list")
        : new Failure(`there is no sandbox ${name}`, `Make it with: mags new ${name}`);
    found.push(job?.request_id === name ? job.name : name);
  }
  return found;
}

/** Entries are read from anywhere; `~` is for ssh to read. */
async function givenKey(cli: Cli, mags: Mags, path: string): Promise<string> {
  const isInHome = path.startsWith("~/");
  const fingerprint = readKeyFile(isInHome ? join(cli.home, path.slice(1)) : resolve(path));
  const { keys } = await mags.sshKeys.list();
  if (fingerprint !== null && !keys.some((key) => key.fingerprint === fingerprint))
    await note(cli, `mags: ${path} is not a key of your account; add it with: mags key add FILE.pub`);
  return isInHome ? path : resolve(path);
}

/** Null: not a file here; whoever has it may have it in an agent. */
async function registeredKey(cli: Cli, mags: Mags): Promise<string | null> {
  const { keys } = await mags.sshKeys.list();
  if (keys.length === 0) throw new Failure("your account has no SSH key", "Add yours with: mags key add");
  const file = findOwnKey(join(cli.home, ".ssh"), new Set(keys.map(({ fingerprint }) => fingerprint)));
  if (file === null)
    await note(
      cli,
      "mags: no key of your account lies in ~/.ssh; ssh will ask your agent, or name one with --identity",
    );
  return file;
}

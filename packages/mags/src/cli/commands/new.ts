import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";

export interface NewFlags {
  readonly persistent?: boolean;
  readonly base?: string;
  readonly disk?: string;
  readonly json?: boolean;
}

const USAGE = `Usage: mags new <name> [-p] [--base <workspace>] [--disk <GB>]
  -p, --persistent  sync its files to the object store; without it they lie on the disk of the VM only`;
const RUNNING_WITHIN_MS = 60_000;

export async function newSandbox(cli: Cli, name: string | undefined, flags: NewFlags): Promise<number> {
  if (name === undefined || name === "") throw new Failure("a name is required", USAGE);
  const mags = await connect(cli);
  const persistent = flags.persistent ?? false;
  const options = {
    persistent,
    baseWorkspaceId: flags.base,
    diskGb: diskOf(flags),
    timeout: RUNNING_WITHIN_MS,
  };
  const { requestId } = await mags.new(name, options);
  if (flags.json) {
    await printJson(cli, { request_id: requestId, name, status: "running" });
    return 0;
  }
  const { green, gray } = cli.styles.stdout;
  await print(cli, green(`VM "${name}" created successfully ${persistent ? "(persistent)" : "(local disk)"}`));
  await print(cli, `  ID:  ${requestId}`);
  await print(cli, `  SSH: mags ssh ${name}`);
  if (!persistent) await print(cli, gray("  Its data is on local disk only, until mags stop; -p would persist it"));
  return 0;
}

/** What is no number counts as not given. */
function diskOf({ disk }: NewFlags): number | undefined {
  const size = Number.parseInt(disk ?? "", 10);
  return size > 0 ? size : undefined;
}

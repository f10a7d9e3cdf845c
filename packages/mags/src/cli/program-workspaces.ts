import { Argument, type Command, Option } from "commander";
import type { Cli } from "./cli.ts";
import type { DeleteFlags, RestoreFlags } from "./commands/workspace.ts";
import type { DiffFlags } from "./commands/workspace-diff.ts";
import { wholeNumber } from "./flag-values.ts";

interface JsonFlag {
  readonly json?: boolean;
}

/** Commands about synced workspaces. */
export function addWorkspaceCommands(program: Command, cli: Cli, onExit: (code: number) => void): void {
  const name = () => new Argument("<name>", "name of a synced workspace");
  const json = () => new Option("--json", "print JSON");
  const load = () => import("./commands/workspace.ts");
  const workspace = program
    .command("workspace")
    .description("list, compare, restore and delete synced workspaces")
    .helpCommand(false);

  workspace
    .command("list")
    .alias("ls")
    .description("list synced workspaces")
    .addOption(json())
    .action(async (flags: JsonFlag) => onExit(await (await load()).listWorkspaces(cli, flags)));

  workspace
    .command("delete")
    .alias("rm")
    .description("delete a workspace and its data for good")
    .addArgument(name())
    .option("-y, --yes", "do not ask; stop what stands on it")
    .addOption(json())
    .action(async (given: string, flags: DeleteFlags) =>
      onExit(await (await load()).deleteWorkspace(cli, given, flags)),
    );

  workspace
    .command("versions")
    .description("list the versions of a workspace that are kept, newest first")
    .addArgument(name())
    .addOption(json())
    .action(async (given: string, flags: JsonFlag) => onExit(await (await load()).listVersions(cli, given, flags)));

  workspace
    .command("diff")
    .description(
      "list the files that changed between two versions of a workspace; without numbers between the last two",
    )
    .addArgument(name())
    .addArgument(new Argument("[from]", "a version, as mags workspace versions shows it").argParser(wholeNumber))
    .addArgument(new Argument("[to]", "another one; default: the latest").argParser(wholeNumber))
    .option("--all", "all changes, not only the first 1000")
    .addOption(json())
    .action(async (given: string, from: number | undefined, to: number | undefined, flags: DiffFlags) =>
      onExit(await (await import("./commands/workspace-diff.ts")).diffVersions(cli, given, { from, to, ...flags })),
    );

  workspace
    .command("restore")
    .description("make an older version of a workspace its newest; later ones stay")
    .addArgument(name())
    .requiredOption("--version <n>", "the version, as mags workspace versions shows it", wholeNumber)
    .addOption(json())
    .action(async (given: string, flags: RestoreFlags) =>
      onExit(await (await load()).restoreWorkspace(cli, given, flags)),
    );
}

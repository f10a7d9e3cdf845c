import { Argument, type Command, Option } from "commander";
import type { Cli } from "./cli.ts";
import type { NewFlags } from "./commands/new.ts";
import type { ResizeFlags } from "./commands/resize.ts";
import type { SetFlags } from "./commands/set.ts";
import { Failure } from "./failure.ts";
import { label, wholeNumber } from "./flag-values.ts";

interface JsonFlag {
  readonly json?: boolean;
}

/** Commands about VMs that stay. */
export function addSandboxCommands(program: Command, cli: Cli, onExit: (code: number) => void): void {
  const sandbox = () => new Argument("<name|id>", "name or id of a persistent job, or its workspace");
  const json = () => new Option("--json", "print JSON");

  program
    .command("new")
    .description("make a VM that stays, and wait until it runs")
    .argument("[name]", "its name")
    .option("-p, --persistent", "sync its files to the object store")
    .option("--base <workspace>", "begin with the files of this synced workspace (or NAME@VERSION)")
    .option("--disk <GB>", "size of the disk")
    .addOption(json())
    .action(async (name: string | undefined, flags: NewFlags) => {
      onExit(await (await import("./commands/new.ts")).newSandbox(cli, name, flags));
    });

  program
    .command("sleep")
    .description("put a VM to sleep: its memory goes to disk, what runs in it goes on after the wake")
    .addArgument(sandbox())
    .addOption(json())
    .action(async (name: string, flags: JsonFlag) => {
      onExit(await (await import("./commands/sleep.ts")).sleep(cli, name, flags));
    });

  program
    .command("wake")
    .description("wake a VM that sleeps; a command or a copy does it by itself")
    .addArgument(sandbox())
    .addOption(json())
    .action(async (name: string, flags: JsonFlag) => {
      onExit(await (await import("./commands/wake.ts")).wake(cli, name, flags));
    });

  const asked = new Set<string>();
  program
    .command("set")
    .description("change a persistent job")
    .addArgument(sandbox())
    .option("--sleep", "sleep when idle")
    .option("--no-sleep", "never sleep when idle; wakes it now")
    .option("--idle <minutes>", "sleep when it was idle for so long", wholeNumber)
    .option("--startup-command <command>", "run when it wakes without its memory; an empty one: none")
    .option("--label <KEY=VALUE>", "its labels, in place of those before; repeatable", label)
    .addOption(json())
    .on("option:sleep", () => asked.add("sleep"))
    .on("option:no-sleep", () => asked.add("no-sleep"))
    .action(async (name: string, flags: SetFlags) => {
      if (asked.size > 1) throw new Failure("--sleep and --no-sleep cannot be combined");
      onExit(await (await import("./commands/set.ts")).set(cli, name, flags));
    });

  program
    .command("resize")
    .description("make the disk of a VM larger; nothing is restarted")
    .argument("<name|id>", "name or id of a persistent job, or its workspace")
    .requiredOption("--disk <GB>", "the new size of the disk", wholeNumber)
    .addOption(json())
    .action(async (name: string, flags: ResizeFlags) => {
      onExit(await (await import("./commands/resize.ts")).resize(cli, name, flags));
    });

  program
    .command("sync")
    .description("sync the workspace of a job now; its VM runs on")
    .addArgument(sandbox())
    .addOption(json())
    .action(async (name: string, flags: JsonFlag) => {
      onExit(await (await import("./commands/sync.ts")).sync(cli, name, flags));
    });
}

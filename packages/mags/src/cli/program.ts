import { Argument, Command, Option } from "commander";
import packageJson from "../../package.json" with { type: "json" };
import type { Cli } from "./cli.ts";
import type { ExecFlags } from "./commands/exec.ts";
import type { ListFlags } from "./commands/list.ts";
import type { LoginFlags } from "./commands/login.ts";
import type { LogsFlags } from "./commands/logs.ts";
import type { StopFlags } from "./commands/stop.ts";
import type { UsageFlags } from "./commands/usage.ts";
import { environmentEntry, seconds, wholeNumber } from "./flag-values.ts";
import { epilogue } from "./help.ts";
import { addKeyCommands } from "./program-keys.ts";
import { addRun } from "./program-run.ts";
import { addSandboxCommands } from "./program-sandboxes.ts";
import { addSshCommands } from "./program-ssh.ts";
import { addUrlCommands } from "./program-url.ts";
import { addWorkspaceCommands } from "./program-workspaces.ts";

interface JsonFlag {
  readonly json?: boolean;
}

/**
 * The command line. Each command's code is loaded when it is the one that runs.
 * @param onExit  Told the exit code of the command that ran.
 */
export function createProgram(cli: Cli, onExit: (code: number) => void): Command {
  const program = new Command("mags")
    .description("Runs scripts in microVMs of their own, started in milliseconds.")
    .usage("<command> [options]")
    .version(packageJson.version, "-v, --version", "print the version")
    .helpOption("-h, --help", "print help")
    .helpCommand("help [command]", "print help for a command")
    .enablePositionalOptions()
    .exitOverride();

  const job = () => new Argument("<name|id>", "name or id of a job, or a workspace");
  const json = () => new Option("--json", "print JSON");

  addRun(program, cli, onExit);
  addSandboxCommands(program, cli, onExit);
  addWorkspaceCommands(program, cli, onExit);
  addKeyCommands(program, cli, onExit);

  program
    .command("exec")
    .description("run a command beside the script of a running job, with input and output here")
    .addArgument(job())
    .argument("<command...>", "the command, for /bin/sh; several words are joined by blanks")
    .option("-t, --tty", "run it in a terminal (default: when input and output are terminals)")
    .option("-T, --no-tty", "run it without a terminal")
    .option("-i, --interactive", "pass on input also from a terminal (default: what is piped in)")
    .option("--env <KEY=VALUE>", "set a variable; KEY alone passes on yours; repeatable", environmentEntry(cli.env))
    .option("--timeout <seconds>", "end the command after this time, with exit code 124", seconds)
    .addOption(json())
    .passThroughOptions()
    .action(async (name: string, words: string[], flags: ExecFlags) => {
      onExit(await (await import("./commands/exec.ts")).exec(cli, name, words, flags));
    });

  program
    .command("cp")
    .description("copy a file or folder into or out of the VM of a running job")
    .argument("<from>", "a path of yours, or NAME:PATH")
    .argument("<to>", "the other of the two")
    .option("-r, --recursive", "changes nothing: folders are always copied with all that is in them")
    .action(async (from: string, to: string) => {
      onExit(await (await import("./commands/cp.ts")).cp(cli, from, to));
    });

  addSshCommands(program, cli, onExit);
  addUrlCommands(program, cli, onExit);

  program
    .command("list")
    .alias("ls")
    .description("list jobs, newest first")
    .option("--page <n>", "page, from 1", wholeNumber)
    .option("--page-size <n>", "jobs a page, at most 100 (default: 20)", wholeNumber)
    .addOption(
      new Option("--status <status>", "only jobs in this state").choices([
        "pending",
        "running",
        "sleeping",
        "completed",
        "error",
      ]),
    )
    .option("-w, --workspace <name>", "only jobs of this workspace")
    .option("--label <KEY=VALUE>", "only jobs with this label")
    .addOption(json())
    .action(async (flags: ListFlags) => {
      onExit(await (await import("./commands/list.ts")).list(cli, flags));
    });

  program
    .command("status")
    .description("show the status of a job")
    .addArgument(job())
    .addOption(json())
    .action(async (name: string, flags: JsonFlag) => {
      onExit(await (await import("./commands/status.ts")).status(cli, name, flags));
    });

  program
    .command("logs")
    .description("print the output of a job")
    .addArgument(job())
    .option("-f, --follow", "go on until the job ends")
    .option("--system", "include events of the platform")
    .option("--json", "print JSON; with -f one object a line")
    .action(async (name: string, flags: LogsFlags) => {
      onExit(await (await import("./commands/logs.ts")).logs(cli, name, flags));
    });

  program
    .command("events")
    .description("print what happened to a job, and why")
    .addArgument(job())
    .addOption(json())
    .action(async (name: string, flags: JsonFlag) => {
      onExit(await (await import("./commands/events.ts")).events(cli, name, flags));
    });

  program
    .command("stop")
    .description("end a job and its VM; a synced workspace is synced before")
    .addArgument(job())
    .option("--force", "drop what changed since the last sync, where it cannot be synced now")
    .addOption(json())
    .action(async (name: string, flags: StopFlags) => {
      onExit(await (await import("./commands/stop.ts")).stop(cli, name, flags));
    });

  program
    .command("pool")
    .description("show the numbers of the VM pool")
    .addOption(json())
    .action(async (flags: JsonFlag) => {
      onExit(await (await import("./commands/pool.ts")).pool(cli, flags));
    });

  program
    .command("usage")
    .description("show what your account used")
    .option("--days <n>", "days to count (default: 30)", wholeNumber)
    .addOption(json())
    .action(async (flags: UsageFlags) => {
      onExit(await (await import("./commands/usage.ts")).usage(cli, flags));
    });

  program
    .command("login")
    .description("sign in with an access token and keep it")
    .option("--token <token>", "the token; default: ask for it, or read it from standard input")
    .addOption(json())
    .action(async (flags: LoginFlags) => {
      onExit(await (await import("./commands/login.ts")).login(cli, flags));
    });

  program
    .command("logout")
    .description("remove the kept token")
    .addOption(json())
    .action(async (flags: JsonFlag) => {
      onExit(await (await import("./commands/logout.ts")).logout(cli, flags));
    });

  program
    .command("whoami")
    .description("show whether and how you are signed in")
    .addOption(json())
    .action(async (flags: JsonFlag) => {
      onExit(await (await import("./commands/whoami.ts")).whoami(cli, flags));
    });

  for (const command of withSubcommands(program)) command.exitOverride();
  return program.addHelpText("after", () => epilogue(program));
}

/** All commands, those below others too. */
export function withSubcommands({ commands }: Command): Command[] {
  return commands.flatMap((command) => [command, ...withSubcommands(command)]);
}

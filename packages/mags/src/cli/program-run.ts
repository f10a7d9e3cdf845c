import { type Command, Option } from "commander";
import type { Cli } from "./cli.ts";
import { collect, egressPolicy, environmentEntry, label, portNumber, seconds, wholeNumber } from "./flag-values.ts";
import type { RunFlags } from "./run-flags.ts";

export function addRun(program: Command, cli: Cli, onExit: (code: number) => void): void {
  program
    .command("run")
    .description("run a script in a microVM and print its output")
    .argument("[script...]", "the script; several words are joined by blanks")
    .option(
      "-w, --workspace <name>",
      "run in the VM of this workspace, with its files; with -p they are synced; also names the job",
    )
    .option("-n, --name <name>", "the same as --workspace")
    .option("-p, --persistent", "keep the VM when the script has ended, until mags stop")
    .option("--no-sync", "with -p and -w: keep the workspace on the disk of its VM only")
    .option("--base <workspace>", "begin with the files of this synced workspace (or NAME@VERSION)")
    .option("--no-sleep", "with -p: the VM does not sleep when it is idle")
    .option("--idle <minutes>", "with -p: the VM sleeps when it was idle for so long (default: 10)", wholeNumber)
    .option("--startup-command <command>", "with -p: run when the VM wakes without its memory")
    .option("--url", "with -p: a URL of the VM's web server; returns when that answers")
    .option("--port <port>", "with --url: where that listens in the VM (default: 8080)", portNumber)
    .option("--replace", "end a script that runs in the workspace, instead of failing")
    .option("-e, --ephemeral", "without a workspace: nothing is kept")
    .option("--script-file <file>", "read the script from a file; -: from standard input")
    .option("-f, --file <path>", "put a file into /uploads and /root of the VM; repeatable", collect)
    .option("--env <KEY=VALUE>", "set a variable; KEY alone passes on yours; repeatable", environmentEntry(cli.env))
    .option("--timeout <seconds>", "end the script after this time, with exit code 124", seconds)
    .option("--detach", "print the id of the job and return at once")
    .option("--disk <GB>", "size of the disk", wholeNumber)
    .option("--vcpus <n>", "number of virtual CPUs", wholeNumber)
    .option("--memory <MB>", "size of the memory", wholeNumber)
    .option("--image <name>", "guest image")
    .option("--egress <policy>", "network access: filtered (default), none, or host,*.host,...", egressPolicy)
    .option("--label <KEY=VALUE>", "mark the job, for `mags list --label`; repeatable", label)
    .addOption(new Option("--type <type>", "url: the script is the address of one").choices(["inline", "url"]))
    .option("--json", "print one JSON object at the end, the output in it")
    .action(async (words: string[], flags: RunFlags) => {
      onExit(await (await import("./commands/run.ts")).run(cli, words, flags));
    });
}

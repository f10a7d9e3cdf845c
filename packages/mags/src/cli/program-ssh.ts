import { Argument, type Command } from "commander";
import type { Cli } from "./cli.ts";
import type { SshConfigFlags } from "./commands/ssh-config.ts";

const SSH_HELP = `
Options of ssh stand before the name or behind it, as with ssh itself:
  mags ssh box                                a terminal in box
  mags ssh box -- make -C app test            a command; its exit code is that of mags
  tar c . | mags ssh box -- tar x -C app      with input and output here
  mags ssh -N -L 8080:localhost:8080 box      a port of box here; -R the other way, -D as a SOCKS proxy
  mags ssh -A box                             with your agent
User, port, key and host key are told by the server; the key is on disk while ssh runs. Your ssh configuration is not
read: name it with -F if it is needed. For scp, sftp, rsync and editors: mags ssh-config.`;

const CONFIG_HELP = `
Without names: all sandboxes that run or sleep. Then ssh mags-NAME, scp, sftp, rsync and editors reach them with your key.
The server's host key is kept in ~/.ssh/mags/known_hosts, also when entries are only printed.`;

/** Commands about SSH. */
export function addSshCommands(program: Command, cli: Cli, onExit: (code: number) => void): void {
  program
    .command("ssh")
    .description("open a terminal in the sandbox of that name, by your ssh program; makes one where there is none")
    .usage("[options of ssh] <name|id> [options of ssh] [--] [command...]")
    .addArgument(new Argument("[words...]", "a persistent job or its workspace; a command in place of a login shell"))
    .allowUnknownOption()
    .passThroughOptions()
    .addHelpText("after", SSH_HELP)
    .action(async (words: string[]) => {
      onExit(await (await import("./commands/ssh.ts")).ssh(cli, words));
    });

  program
    .command("ssh-config")
    .description("print entries for your ssh configuration, one for each sandbox, or keep them there")
    .argument("[name|id...]", "persistent jobs or workspaces")
    .option("--write", "keep them in ~/.ssh/mags/config, which ~/.ssh/config includes then")
    .option("--remove", "take them away again; without names all, and what --write changed")
    .option("-i, --identity <file>", "the key to sign in with (default: one of ~/.ssh that your account has)")
    .addHelpText("after", CONFIG_HELP)
    .action(async (names: string[], flags: SshConfigFlags) => {
      onExit(await (await import("./commands/ssh-config.ts")).sshConfig(cli, names, flags));
    });
}

import { Argument, type Command, Option } from "commander";
import type { Cli } from "./cli.ts";
import type { AuditFlags } from "./commands/audit.ts";
import type { AddKeyFlags } from "./commands/key.ts";
import { wholeNumber } from "./flag-values.ts";

interface JsonFlag {
  readonly json?: boolean;
}

const ADD_HELP = `
Without a file: the first of id_ed25519.pub, id_ecdsa.pub and id_rsa.pub in ~/.ssh. ssh-keygen signs a text of the server
with the key, to show that it is yours; it may ask for your passphrase, or use your agent.`;

/** Commands about SSH keys of the account, and about what was done with it. */
export function addKeyCommands(program: Command, cli: Cli, onExit: (code: number) => void): void {
  const json = () => new Option("--json", "print JSON");
  const load = () => import("./commands/key.ts");
  const key = program
    .command("key")
    .description("add, list and remove the SSH keys of your account, to sign in to your VMs with")
    .helpCommand(false);

  key
    .command("add")
    .description("add a key of yours to your account")
    .addArgument(new Argument("[file]", "its public part, FILE.pub"))
    .option("--name <name>", "its name in your account (default: the comment in the file)")
    .addOption(json())
    .addHelpText("after", ADD_HELP)
    .action(async (file: string | undefined, flags: AddKeyFlags) =>
      onExit(await (await load()).addKey(cli, file, flags)),
    );

  key
    .command("list")
    .alias("ls")
    .description("list the keys of your account")
    .addOption(json())
    .action(async (flags: JsonFlag) => onExit(await (await load()).listKeys(cli, flags)));

  key
    .command("rm")
    .alias("remove")
    .description("remove a key from your account: nobody signs in with it or opens a session any more")
    .addArgument(new Argument("<name|fingerprint>", "the key, as mags key list shows it"))
    .addOption(json())
    .action(async (which: string, flags: JsonFlag) => onExit(await (await load()).removeKey(cli, which, flags)));

  program
    .command("audit")
    .description("show what was done with your account: sign-ins by SSH, keys, tokens")
    .option("-n <count>", "the last so many entries, at most 1000 (default: 50)", wholeNumber)
    .option("--action <action>", "only these, such as ssh_signed_in or key_added")
    .option("--all", "for admins: of all accounts")
    .addOption(json())
    .action(async (flags: AuditFlags) => onExit(await (await import("./commands/audit.ts")).audit(cli, flags)));
}

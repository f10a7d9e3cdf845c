import { Argument, type Command, Option } from "commander";
import type { Cli } from "./cli.ts";
import type { UrlFlags } from "./commands/url.ts";
import type { AliasFlags } from "./commands/url-alias.ts";
import type { LinkFlags } from "./commands/url-link.ts";
import type { UrlLogFlags } from "./commands/url-log.ts";
import { portNumber, span, wholeNumber } from "./flag-values.ts";

interface JsonFlag {
  readonly json?: boolean;
}

const HELP = `
A request wakes the VM when it sleeps. A sandbox that is called as one of these commands is named by its id.
  mags url dev 3000                what listens on port 3000 in dev
  mags url dev --private           only for those who have a link
  mags url link dev --expires 2h   such a link
  mags url alias shop dev          an address that stays, whichever VM workspace dev has`;

/** Commands about URLs. */
export function addUrlCommands(program: Command, cli: Cli, onExit: (code: number) => void): void {
  const job = () => new Argument("<name|id>", "name or id of a persistent job, or a workspace");
  const json = () => new Option("--json", "print JSON");
  const domain = () => new Option("--domain <domain>", "a domain of yours (default: that of the server's URLs)");
  const url = program
    .command("url")
    .description("lead the URL of a sandbox to a port in it, and print it")
    .usage("<name|id> [port] [options]")
    .addArgument(job())
    .addArgument(new Argument("[port]", "where its web server listens (default: 8080)").argParser(portNumber))
    .addOption(new Option("--private", "only who has a link sees it").conflicts("public"))
    .option("--public", "everybody sees it")
    .addOption(json())
    .helpCommand(false)
    .addHelpText("after", HELP)
    .action(async (name: string, port: number | undefined, flags: UrlFlags) => {
      onExit(await (await import("./commands/url.ts")).url(cli, name, port, flags));
    });

  const aliases = () => import("./commands/url-alias.ts");
  const alias = url
    .command("alias")
    .description("give a workspace an address that stays")
    .usage("<subdomain> <workspace> [options]")
    .argument("<subdomain>", "lower-case letters, digits and dashes")
    .argument("<workspace>", "a workspace, or the name of a sandbox")
    .addOption(domain())
    .addOption(json())
    .helpCommand(false)
    .action(async (subdomain: string, workspace: string, flags: AliasFlags) =>
      onExit(await (await aliases()).createAlias(cli, subdomain, workspace, flags)),
    );
  alias
    .command("list")
    .alias("ls")
    .description("list your aliases")
    .addOption(json())
    .action(async (flags: JsonFlag) => onExit(await (await aliases()).listAliases(cli, flags)));
  alias
    .command("move")
    .description("lead an alias to another workspace, at once")
    .argument("<subdomain>")
    .argument("<workspace>")
    .addOption(domain())
    .addOption(json())
    .action(async (subdomain: string, workspace: string, flags: AliasFlags) =>
      onExit(await (await aliases()).moveAlias(cli, subdomain, workspace, flags)),
    );
  alias
    .command("remove")
    .alias("rm")
    .description("remove an alias")
    .argument("<subdomain>")
    .addOption(domain())
    .addOption(json())
    .action(async (subdomain: string, flags: AliasFlags) =>
      onExit(await (await aliases()).removeAlias(cli, subdomain, flags)),
    );

  const links = () => import("./commands/url-link.ts");
  url
    .command("link")
    .description("make a link that opens a private URL; it is shown only now")
    .addArgument(job())
    .option("--port <port>", "it opens only this port (default: that of the URL)", portNumber)
    .option("--expires <time>", "like 30m, 2h or 7d, at most 30d (default: 1d)", span)
    .addOption(json())
    .action(async (name: string, flags: LinkFlags) => onExit(await (await links()).createLink(cli, name, flags)));
  url
    .command("links")
    .description("list the links of a sandbox that have not expired")
    .addArgument(job())
    .addOption(json())
    .action(async (name: string, flags: JsonFlag) => onExit(await (await links()).listLinks(cli, name, flags)));
  url
    .command("revoke")
    .description("revoke a link; those who have followed it see nothing more")
    .addArgument(job())
    .argument("<link>", "its id, as mags url links shows it")
    .addOption(json())
    .action(async (name: string, link: string, flags: JsonFlag) =>
      onExit(await (await links()).revokeLink(cli, name, link, flags)),
    );

  url
    .command("log")
    .description("print what was asked of the URLs of a sandbox")
    .addArgument(job())
    .option("-n <count>", "the last so many, at most 1000 (default: 50)", wholeNumber)
    .option("-f, --follow", "go on until interrupted")
    .option("--json", "print JSON; with -f one object a line")
    .action(async (name: string, flags: UrlLogFlags) => {
      onExit(await (await import("./commands/url-log.ts")).urlLog(cli, name, flags));
    });
}

import { Failure } from "./failure.ts";

/**
 * Commands that Mags is known for and this version does not have. They are refused by name, so that nobody takes them for
 * typing errors.
 */
const COMMANDS = ["cron", "browser", "setup-claude"];

export function isLaterCommand(name: string): boolean {
  return COMMANDS.includes(name);
}

export function refuseLater(what: string): Failure {
  return new Failure(`${what} is not supported by this version of mags yet`, "See what is: mags help");
}

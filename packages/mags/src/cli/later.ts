import { type Command, Option } from "commander";
import { Failure } from "./failure.ts";

/**
 * Commands and options that Mags is known for and this version does not have. They are refused by name before anything
 * is sent, so that nobody takes them for typing errors or believes that they took effect.
 */
const COMMANDS = ["url", "cron", "browser", "setup-claude"];

const RUN_OPTIONS = ["--url", "--port <port>"];

export function isLaterCommand(name: string): boolean {
  return COMMANDS.includes(name);
}

export function refuseLater(what: string): Failure {
  return new Failure(`${what} is not supported by this version of mags yet`, "See what is: mags help");
}

export function refuseLaterRunOptions(run: Command): void {
  for (const flags of RUN_OPTIONS) {
    const option = new Option(flags).hideHelp();
    run.addOption(option);
    run.on(`option:${option.name()}`, () => {
      throw refuseLater(`mags run ${option.long}`);
    });
  }
}

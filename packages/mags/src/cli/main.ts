import { CommanderError } from "commander";
import type { Cli } from "./cli.ts";
import { Failure, report } from "./failure.ts";
import { isLaterCommand, refuseLater } from "./later.ts";
import { BrokenPipe } from "./output.ts";
import { createProgram, withSubcommands } from "./program.ts";

/** What a process that SIGPIPE ended would give: 128 + 13. */
const BROKEN_PIPE_EXIT_CODE = 141;

/**
 * Runs one command line; everything written is out when it resolves.
 * @param args  Without the program's own name.
 * @returns     The exit code.
 */
export async function main(args: readonly string[], cli: Cli): Promise<number> {
  try {
    const code = await dispatch(args, cli);
    await cli.stdout.flush();
    await cli.stderr.flush();
    return code;
  } catch (error) {
    if (error instanceof BrokenPipe) return BROKEN_PIPE_EXIT_CODE;
    try {
      await report(cli, error);
      await cli.stderr.flush();
    } catch {
      // Standard error is gone as well: only the exit code is left to tell.
    }
    return 1;
  }
}

async function dispatch(args: readonly string[], cli: Cli): Promise<number> {
  const [name] = args;
  if (name !== undefined && isLaterCommand(name)) throw refuseLater(`mags ${name}`);
  let exitCode = 0;
  let help = "";
  const program = createProgram(cli, (code) => {
    exitCode = code;
  });
  const configuration = {
    writeOut: (text: string) => {
      help += text;
    },
    // Its errors arrive below as exceptions.
    writeErr: () => {},
  };
  for (const command of [program, ...withSubcommands(program)]) command.configureOutput(configuration);
  try {
    await program.parseAsync(args.length === 0 ? ["--help"] : args, { from: "user" });
  } catch (error) {
    if (!(error instanceof CommanderError)) throw error;
    if (error.exitCode !== 0) throw usageFailure(error, args);
  }
  if (help !== "") await cli.stdout.write(help);
  return exitCode;
}

function usageFailure(error: CommanderError, args: readonly string[]): Failure {
  const [name] = args;
  const takesWords = name === "run" || name === "exec";
  if (error.code === "commander.unknownOption" && takesWords)
    return new Failure(
      error.message,
      `If it belongs to the ${name === "run" ? "script" : "command"}, quote that or put -- before it.`,
    );
  return new Failure(error.message, `See: mags ${error.code === "commander.unknownCommand" ? "help" : `help ${name}`}`);
}

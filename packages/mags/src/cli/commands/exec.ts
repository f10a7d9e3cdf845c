import type { Cli } from "../cli.ts";
import { note, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";
import { runRemotely } from "../remote-command.ts";

export interface ExecFlags {
  /** Milliseconds. */
  readonly timeout?: number;
  readonly json?: boolean;
  /** `-t`: true, `-T`: false. */
  readonly tty?: boolean;
  readonly interactive?: boolean;
  readonly env?: Readonly<Record<string, string>>;
}

/** Runs one command beside the script of a job, with its input and output here, and passes on its exit code. */
export async function exec(cli: Cli, name: string, words: readonly string[], flags: ExecFlags): Promise<number> {
  const command = words[0] === "--" ? words.slice(1) : words;
  if (command[0]?.startsWith("-"))
    throw new Failure(
      `${command[0]} is no command; options of exec stand before the job: mags exec --timeout 5 ${name} ls`,
    );
  if (flags.json) return asJson(cli, name, command.join(" "), flags);
  const mags = await connect(cli);
  return runRemotely(cli, mags, name, {
    command: command.join(" "),
    tty: flags.tty,
    stdin: flags.interactive,
    environment: flags.env,
    timeout: flags.timeout,
  });
}

async function asJson(cli: Cli, name: string, command: string, { timeout, tty, env }: ExecFlags): Promise<number> {
  if (tty || env) throw new Failure("--json goes with neither -t nor --env");
  const mags = await connect(cli);
  const result = await mags.exec(name, command, { timeout, encoding: "buffer" });
  await printJson(cli, {
    exit_code: result.exitCode,
    stdout: result.output.toString("utf8"),
    stderr: result.stderr.toString("utf8"),
    timed_out: result.timedOut,
    truncated: result.truncated,
  });
  if (result.truncated) await note(cli, "mags: the output was too long for one reply; its end was dropped");
  return result.exitCode < 0 ? 1 : result.exitCode;
}

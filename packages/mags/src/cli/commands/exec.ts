import { type Cli, note, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";

export interface ExecFlags {
  /** Milliseconds. */
  readonly timeout?: number;
  readonly json?: boolean;
}

/** Runs one command beside the script of a running job and passes on its output and its exit code. */
export async function exec(cli: Cli, name: string, words: readonly string[], flags: ExecFlags): Promise<number> {
  const command = words[0] === "--" ? words.slice(1) : words;
  if (command[0]?.startsWith("-"))
    throw new Failure(
      `${command[0]} is no command; options of exec stand before the job: mags exec --timeout 5 ${name} ls`,
    );
  const mags = await connect(cli);
  const { timeout, json } = flags;
  const result = await mags.exec(name, command.join(" "), { timeout, encoding: "buffer" });
  if (json) {
    await printJson(cli, {
      exit_code: result.exitCode,
      stdout: result.output.toString("utf8"),
      stderr: result.stderr.toString("utf8"),
      timed_out: result.timedOut,
      truncated: result.truncated,
    });
  } else {
    await cli.stdout.write(result.output);
    await cli.stderr.write(result.stderr);
    if (result.truncated) await note(cli, "mags: the output was too long for one reply; its end was dropped");
    if (result.timedOut) await note(cli, "mags: the command took too long and was ended; give it more with --timeout");
  }
  return result.exitCode < 0 ? 1 : result.exitCode;
}

import type { Cli } from "./cli.ts";
import { readLine } from "./read-line.ts";

/**
 * One line from the terminal, unseen, or from standard input.
 * @returns undefined when the user gave up: Ctrl-C, Ctrl-D or no input.
 */
export async function readSecret(cli: Cli, prompt: string): Promise<string | undefined> {
  const stdin = cli.stdin();
  if (!stdin.isTTY || stdin.setRawMode === undefined) return await readLine(stdin);
  stdin.setRawMode(true);
  try {
    await cli.stderr.write(prompt);
    return await readLine(stdin);
  } finally {
    stdin.setRawMode(false);
    await cli.stderr.write("\n");
  }
}

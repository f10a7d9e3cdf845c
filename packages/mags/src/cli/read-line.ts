import type { Cli, Input } from "./cli.ts";

/** Asks on standard error. @returns the line that is answered; undefined when the user gave up or there is no input. */
export async function ask(cli: Cli, question: string): Promise<string | undefined> {
  await cli.stderr.write(question);
  await cli.stderr.flush();
  return await readLine(cli.stdin());
}

/** @returns undefined when the user gave up: Ctrl-C, Ctrl-D or no input. */
export async function readLine(stdin: Input): Promise<string | undefined> {
  let line = "";
  // Not destroyed at the end of the line: the terminal still has to be put back.
  for await (const chunk of stdin.iterator({ destroyOnReturn: false })) {
    for (const character of String(chunk)) {
      if (character === "\r" || character === "\n") return line;
      if (character === "\u0003" || character === "\u0004") return undefined;
      line = character === "\u007f" || character === "\b" ? line.slice(0, -1) : line + character;
    }
  }
  return line === "" ? undefined : line;
}

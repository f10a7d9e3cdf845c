import type { Cli, Input } from "./cli.ts";

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

async function readLine(stdin: Input): Promise<string | undefined> {
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

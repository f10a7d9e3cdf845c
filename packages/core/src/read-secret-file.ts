import { open } from "node:fs/promises";

const OTHERS = 0o077;

/** The text of a file with a secret. @throws Error of Node, or one that says what to do, when others than its owner may use it. */
export async function readSecretFile(path: string): Promise<string> {
  await using file = await open(path, "r");
  const { mode } = await file.stat();
  if ((mode & OTHERS) !== 0) throw new Error(`others than its owner may read or write it: chmod 600 ${path}`);
  return await file.readFile("utf8");
}

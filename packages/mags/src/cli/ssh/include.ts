/** The line in a user's ssh configuration that takes in another file. */

/**
 * @returns the text with the line at its beginning, as in an entry it would hold for that one only; the same text where
 * it stands before all entries.
 */
export function withInclude(text: string, file: string): string {
  const lines = text.split("\n");
  const firstEntry = lines.findIndex((line) => /^\s*(Host|Match)[\s=]/i.test(line));
  const general = firstEntry === -1 ? lines : lines.slice(0, firstEntry);
  if (general.some((line) => isInclude(line, file))) return text;
  return `Include ${file}\n${text === "" ? "" : "\n"}${text}`;
}

/** @returns the text without such lines, and without the blank one that came with it. */
export function withoutInclude(text: string, file: string): string {
  const lines = text.split("\n");
  const kept = lines.filter((line) => !isInclude(line, file));
  if (kept.length < lines.length && isInclude(lines[0] ?? "", file) && kept[0] === "") kept.shift();
  return kept.join("\n");
}

function isInclude(line: string, file: string): boolean {
  const [, value] = /^\s*Include[\s=]+(.*?)\s*$/i.exec(line) ?? [];
  return value === file;
}

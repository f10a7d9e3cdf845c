/** What keeps a shell busy for ever without doing anything. */
const ENDLESS: readonly RegExp[] = [
  /^(exec )?sleep (inf|infinity)$/,
  /^(exec )?tail -f \/dev\/null$/,
  /^while (true|:); ?do sleep \d+[smhd]?; ?done$/,
];

/** Longer ones do something. */
const MOST_CHARACTERS = 200;

/** Whether a script only keeps its microVM alive, as that of `mags new` does: others may run beside it. */
export function isEndlessSleep(script: string): boolean {
  if (script.length > MOST_CHARACTERS) return false;
  const lines = script
    .split("\n")
    .map((line) => line.trim().replaceAll(/\s+/g, " "))
    .filter((line) => line !== "" && !line.startsWith("#"));
  const command = joinLoop(lines).replace(/;$/, "").trim();
  return ENDLESS.some((pattern) => pattern.test(command));
}

/** A loop over several lines, as one line. */
function joinLoop(lines: readonly string[]): string {
  return lines.reduce((text, line) => {
    if (text === "") return line;
    return /(^|[ ;])do$/.test(text) ? `${text} ${line}` : `${text.replace(/;$/, "")}; ${line}`;
  }, "");
}

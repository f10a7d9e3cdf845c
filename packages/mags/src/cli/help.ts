import type { Command } from "commander";

const EXAMPLES = [
  ["mags run 'echo Hello World'", "run a script and see its output"],
  ["mags run --script-file build.sh --env STAGE", "a file, with a variable of yours"],
  ["echo 'uname -a' | mags run", "a script from standard input"],
  ["mags run -n nightly --detach 'sleep 60; date'", "return at once"],
  ["mags logs -f nightly", "follow its output"],
  ["mags exec nightly 'ps aux'", "look into its VM"],
  ["mags cp nightly:results .", "take files out of it"],
  ["mags stop nightly", "end it"],
  ["mags new dev", "a VM that stays"],
  ["mags run -w dev 'make test'", "a script in it"],
  ["mags ssh dev", "a terminal in it"],
  ["mags ssh-config --write", "then: ssh mags-dev, scp, rsync, editors"],
  ["mags run -w site -p --url 'python3 -m http.server 8080'", "a web server, with a URL"],
  ["mags url dev 3000", "the URL of what listens on port 3000 in dev"],
  ["mags new golden -p", "one whose files are kept in the object store"],
  ["mags run --base golden 'make test'", "a script that begins with its files"],
  ["mags workspace list", "what is kept"],
  ["mags key add", "sign in to VMs by SSH with your own key"],
  ["mags sleep dev", "its memory to disk, until it is used again"],
] as const;

/** What follows the lists of options and commands in `mags --help`. */
export function epilogue(program: Command): string {
  const run = program.commands.find((command) => command.name() === "run");
  const help = program.createHelp();
  const options = run ? help.visibleOptions(run).map((o) => [o.flags, help.optionDescription(o)] as const) : [];
  return ["", "Run Options:", ...columns(options), "", "Examples:", ...columns(EXAMPLES)].join("\n");
}

function columns(rows: readonly (readonly [string, string])[]): string[] {
  const width = Math.max(...rows.map(([first]) => first.length));
  return rows.map(([first, second]) => `  ${first.padEnd(width)}  ${second}`);
}

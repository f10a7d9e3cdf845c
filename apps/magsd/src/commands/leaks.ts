import { findLeaks, type LeakReport } from "../leaks/find-leaks.ts";
import type { CommandContext } from "./context.ts";

/** Lists what is on this machine of an installation and should not be. @returns exit code 1 when there is something. */
export async function leaks({ config, print }: CommandContext, options: { readonly json: boolean }): Promise<number> {
  const report = await findLeaks(config);
  if (options.json) print(JSON.stringify(report));
  else for (const line of linesOf(report)) print(line);
  return report.leaks.length > 0 ? 1 : 0;
}

function linesOf({ server_runs, leaks, for_next_start, going_on }: LeakReport): string[] {
  const lines = leaks.map(({ what, name }) => `LEAK  ${what}: ${name}`);
  lines.push(...going_on.map(({ what, name, job_id }) => `ok    ${what}: ${name}: goes on for job ${job_id}`));
  lines.push(...for_next_start.map(({ what, name }) => `ok    ${what}: ${name}: the next start adopts or removes it`));
  if (leaks.length === 0) lines.push(`nothing leaked; magsd ${server_runs ? "runs" : "does not run"}`);
  else
    lines.push(
      server_runs
        ? `${leaks.length} things that magsd does not know: restart it (magsd stop, magsd start; jobs go on), and look again`
        : `${leaks.length} things that no start of magsd removes: they are not its own work; look at them, then remove them by hand`,
    );
  return lines;
}

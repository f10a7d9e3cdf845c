import { type Cli, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { Failure } from "../failure.ts";
import type { Assignments } from "../flag-values.ts";

export interface SetFlags {
  /** `false`: `--no-sleep`. */
  readonly sleep?: boolean;
  /** Minutes. */
  readonly idle?: number;
  readonly startupCommand?: string;
  readonly label?: Assignments;
  readonly json?: boolean;
}

export async function set(cli: Cli, name: string, flags: SetFlags): Promise<number> {
  const { sleep, idle: idleMinutes, startupCommand, label: labels } = flags;
  if ([sleep, idleMinutes, startupCommand, labels].every((value) => value === undefined))
    throw new Failure("nothing to change", "Usage: mags set <name|id> --no-sleep | --sleep (more: mags help set)");
  const mags = await connect(cli);
  const noSleep = sleep === undefined ? undefined : !sleep;
  const job = await mags.updateJob(name, { noSleep, idleMinutes, startupCommand, labels });
  if (flags.json) await printJson(cli, job);
  else await print(cli, job.no_sleep ? `${job.name} never sleeps by itself` : `${job.name} ${idleText(job)}`);
  return 0;
}

function idleText({ idle_minutes: minutes }: { readonly idle_minutes?: number }): string {
  return minutes === undefined ? "is changed" : `sleeps when it was idle for ${minutes} min`;
}

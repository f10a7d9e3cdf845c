/** A script that runs, attended from here: its output is passed on, and an interrupt ends it. */
import { MagsError } from "../../sdk/errors.ts";
import type { Mags } from "../../sdk/mags.ts";
import type { JobStatus } from "../../sdk/wire.generated.ts";
import { type Cli, note } from "../cli.ts";
import { Failure, report } from "../failure.ts";
import type { Interrupt, Interrupts } from "../interrupts.ts";
import type { EntrySink } from "../job-output.ts";
import type { RunFlags } from "../run-flags.ts";

/** How long the last output of a stopped job is waited for. */
const LAST_OUTPUT_MS = 5_000;

interface Outcome {
  /** Undefined when the end of an interrupted job did not come in time, or nobody waited for it. */
  readonly status: JobStatus | undefined;
  readonly interrupt: Interrupt | undefined;
}

export interface Attendance {
  readonly interrupts: Interrupts;
  readonly sink: EntrySink;
  readonly end: Ending;
  /** Resolves when the script need not be attended any longer; it goes on. */
  readonly enough?: Promise<unknown> | undefined;
}

/** Passes on the output until the script is over; the first interrupt ends it. */
export async function attend(cli: Cli, mags: Mags, id: string, attendance: Attendance): Promise<Outcome> {
  const { interrupts, sink, end, enough } = attendance;
  const leaving = new AbortController();
  const following = follow(cli, mags, id, sink, leaving.signal);
  const leave = async () => {
    leaving.abort();
    return following.catch(() => undefined);
  };
  try {
    const over = following.then(() => undefined);
    const hadEnough = enough?.then(() => "enough" as const);
    const first = await Promise.race([over, interrupts.first, ...(hadEnough ? [hadEnough] : [])]);
    if (first === undefined) return { status: await following, interrupt: undefined };
    if (first === "enough") return { status: await leave(), interrupt: undefined };
    await stop(cli, id, end);
    const timer = setTimeout(() => leaving.abort(), LAST_OUTPUT_MS);
    const status = await following.catch(() => undefined).finally(() => clearTimeout(timer));
    return { status, interrupt: first };
  } catch (error) {
    await leave();
    if (error instanceof MagsError) throw new Failure(error.message, whatNow(id));
    // Nobody takes the output any more: end the script, as a local program would end.
    await end.now().catch(() => {});
    throw error;
  }
}

async function follow(cli: Cli, mags: Mags, id: string, sink: EntrySink, signal: AbortSignal): Promise<JobStatus> {
  const onConnectionLost = tellOnce(cli);
  const entries = mags.followLogs(id, { encoding: "base64", signal, onConnectionLost });
  for (;;) {
    const next = await entries.next();
    if (next.done) return next.value;
    await sink.write(next.value);
  }
}

/** For what is tried again and again. */
export function tellOnce(cli: Cli): (error: MagsError) => void {
  let told = false;
  return ({ message }) => {
    if (told) return;
    told = true;
    note(cli, `${message}; trying again`).catch(() => {});
  };
}

/** How to end a script: with its job, unless that stays. */
interface Ending {
  readonly begins: string;
  readonly done: string;
  readonly failed: string;
  now(): Promise<unknown>;
}

export function endingOf(mags: Mags, id: string, { persistent }: RunFlags): Ending {
  if (persistent)
    return {
      begins: `Ending the script of job ${id}`,
      done: `Ended the script of job ${id}; its VM stays.`,
      failed: `the script of job ${id} could not be ended`,
      now: () => mags.stop(id, { scriptOnly: true }),
    };
  return {
    begins: `Stopping job ${id}`,
    done: `Stopped job ${id}.`,
    failed: `job ${id} could not be stopped`,
    now: () => mags.stop(id),
  };
}

async function stop(cli: Cli, id: string, end: Ending): Promise<void> {
  try {
    await note(cli, `${end.begins}; press Ctrl-C again to leave at once.`);
    await end.now();
    await note(cli, end.done);
  } catch (error) {
    if (!(error instanceof MagsError)) throw error;
    await report(cli, new Failure(`${end.failed} and may go on: ${error.message}`, whatNow(id)));
  }
}

export function whatNow(id: string): string {
  return `The job and its output are kept by the server. Go on with: mags logs -f ${id}`;
}

/** A script that serves, attended until it does. */
import { setTimeout as delay } from "node:timers/promises";
import { MagsError } from "../../sdk/errors.ts";
import type { Mags } from "../../sdk/mags.ts";
import type { HttpAccess, JobStatus } from "../../sdk/wire.generated.ts";
import { type Cli, note } from "../cli.ts";
import { Failure } from "../failure.ts";
import type { Interrupt } from "../interrupts.ts";
import { untilAnswers } from "../url/until-answers.ts";
import { type Attendance, attend } from "./attend.ts";

/** For a server that its script has left behind. */
const AFTER_SCRIPT_MS = 60_000;

export interface UrlOutcome {
  /** Null: its script ended, or was ended, before. */
  readonly access: HttpAccess | null;
  /** Of a job whose script is over. */
  readonly status: JobStatus | undefined;
  readonly interrupt: Interrupt | undefined;
}

/** @throws Failure when there can be no URL, or nothing answers though the script has ended well */
export async function attendUntilUrl(
  cli: Cli,
  mags: Mags,
  id: string,
  { port, ...attendance }: Omit<Attendance, "enough"> & { readonly port: number | undefined },
): Promise<UrlOutcome> {
  const leaving = new AbortController();
  let last: string | undefined;
  const onProblem = (problem: string) => {
    last = problem;
    if (cli.stderr.isTerminal) note(cli, `mags: ${problem}; waiting`).catch(() => {});
  };
  const waiting = untilAnswers(mags, id, { port, onProblem, signal: leaving.signal });
  /** Where the job itself has come to nothing, its end says why. */
  const reached = waiting.catch((error: unknown) => {
    if (error instanceof MagsError && error.code === "job_not_running") return null;
    throw error;
  });
  const enough = reached.then((access) => access ?? new Promise<never>(() => {}));
  enough.catch(() => {}); // whoever attends hears of it
  try {
    const { status, interrupt } = await attend(cli, mags, id, { ...attendance, enough });
    if (interrupt || (status && !leftServer(status))) return { access: null, status, interrupt };
    const access = await Promise.race([reached, delay(AFTER_SCRIPT_MS, null, { signal: leaving.signal })]);
    if (access) return { access, status, interrupt };
    throw new Failure(
      `the script has ended, and its URL does not answer: ${last ?? "the VM has ended"}`,
      `Its output: mags logs ${id}. Servers must listen on the port of the URL, and go on when the script has ended.`,
    );
  } finally {
    leaving.abort();
  }
}

const leftServer = ({ status, exit_code }: JobStatus) =>
  exit_code === 0 && (status === "running" || status === "sleeping");

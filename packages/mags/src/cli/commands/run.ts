import { MagsError } from "../../sdk/errors.ts";
import type { Mags } from "../../sdk/mags.ts";
import type { JobStatus } from "../../sdk/wire.generated.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { remarkOnCopy } from "../copy-remark.ts";
import { connect } from "../credentials.ts";
import { Failure, report } from "../failure.ts";
import { type Interrupt, type Interrupts, watchInterrupts } from "../interrupts.ts";
import { createCollector, createPrinter, type EntrySink } from "../job-output.ts";
import { readScript } from "../read-script.ts";
import { type RunFlags, runOptions } from "../run-flags.ts";

/** How long the last output of a stopped job is waited for. */
const LAST_OUTPUT_MS = 5_000;

/** Submits a script and passes on its output and its exit code. */
export async function run(cli: Cli, words: readonly string[], flags: RunFlags): Promise<number> {
  const options = runOptions(flags);
  const script = await readScript(cli, words, flags.scriptFile);
  const mags = await connect(cli);
  using interrupts = watchInterrupts(cli.signals, cli.exit);
  const fileIds = flags.file && (await mags.uploadFiles(flags.file));
  const job = await mags.run(script, { ...options, fileIds, onRefused: tellOnce(cli) });
  const id = job.requestId;
  const copy = flags.json ? undefined : remarkOnCopy(mags, id, options);

  if (flags.detach && !interrupts.current) {
    if (flags.json) await printJson(cli, { request_id: id, status: job.status, message: job.message });
    else await print(cli, id);
    await tellOfCopy(cli, copy);
    if (cli.stderr.isTerminal) await note(cli, `Follow it with: mags logs -f ${id}`);
    return 0;
  }

  const collector = flags.json ? createCollector() : undefined;
  const end = endingOf(mags, id, flags);
  const { status, interrupt } = await attend(cli, mags, id, { interrupts, sink: collector ?? createPrinter(cli), end });
  if (collector) await printJson(cli, { ...summary(id, status), ...collector.collected() });
  else if (status && staysAlive(status)) await tellThatItStays(cli, status);
  if (status) await tellOfCopy(cli, copy);
  return interrupt?.exitCode ?? (await exitCodeOf(cli, id, status));
}

interface Outcome {
  /** Undefined when the end of an interrupted job did not come in time. */
  readonly status: JobStatus | undefined;
  readonly interrupt: Interrupt | undefined;
}

interface Attendance {
  readonly interrupts: Interrupts;
  readonly sink: EntrySink;
  readonly end: Ending;
}

/** Passes on the output until the script is over; the first interrupt ends it. */
async function attend(cli: Cli, mags: Mags, id: string, { interrupts, sink, end }: Attendance): Promise<Outcome> {
  const enough = new AbortController();
  const following = follow(cli, mags, id, sink, enough.signal);
  try {
    const interrupt = await Promise.race([following.then(() => undefined), interrupts.first]);
    if (interrupt === undefined) return { status: await following, interrupt };
    await stop(cli, id, end);
    const timer = setTimeout(() => enough.abort(), LAST_OUTPUT_MS);
    const status = await following.catch(() => undefined).finally(() => clearTimeout(timer));
    return { status, interrupt };
  } catch (error) {
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
function tellOnce(cli: Cli): (error: MagsError) => void {
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

function endingOf(mags: Mags, id: string, { persistent }: RunFlags): Ending {
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

const staysAlive = ({ status }: JobStatus) => status === "running" || status === "sleeping";

async function tellThatItStays(cli: Cli, { request_id: id, name }: JobStatus): Promise<void> {
  await note(cli, `Its VM stays. ID: ${id}`);
  await note(cli, `Go on in it with: mags exec ${name} <command>; end it with: mags stop ${name}`);
}

async function tellOfCopy(cli: Cli, copy: Promise<string | undefined> | undefined): Promise<void> {
  const remark = await copy;
  if (remark) await note(cli, `mags: ${remark}`);
}

async function exitCodeOf(cli: Cli, id: string, status: JobStatus | undefined): Promise<number> {
  if (status?.status === "error") {
    await report(cli, new Failure(`job ${id} failed: ${status.error_message ?? "no reason was given"}`));
    return 1;
  }
  if (status?.exit_code !== undefined) return status.exit_code;
  await report(cli, new Failure(`job ${id} was stopped before its script ended`));
  return 1;
}

function summary(id: string, status: JobStatus | undefined): Record<string, unknown> {
  return {
    request_id: id,
    name: status?.name ?? null,
    status: status?.status ?? null,
    exit_code: status?.exit_code ?? null,
    script_duration_ms: status?.script_duration_ms ?? null,
    error_message: status?.error_message ?? null,
  };
}

function whatNow(id: string): string {
  return `The job and its output are kept by the server. Go on with: mags logs -f ${id}`;
}

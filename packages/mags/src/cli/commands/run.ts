import type { HttpAccess, JobStatus } from "../../sdk/wire.generated.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { remarkOnCopy } from "../copy-remark.ts";
import { connect } from "../credentials.ts";
import { Failure, report } from "../failure.ts";
import { watchInterrupts } from "../interrupts.ts";
import { createCollector, createPrinter } from "../job-output.ts";
import { readScript } from "../read-script.ts";
import { attend, endingOf, tellOnce } from "../run/attend.ts";
import { attendUntilUrl } from "../run/attend-until-url.ts";
import { type RunFlags, runOptions } from "../run-flags.ts";

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
  const attendance = { interrupts, sink: collector ?? createPrinter(cli), end: endingOf(mags, id, flags) };
  if (flags.url) {
    const { status, interrupt, access } = await attendUntilUrl(cli, mags, id, { ...attendance, port: flags.port });
    if (collector) {
      const job = status ?? (await mags.status(id));
      await printJson(cli, {
        ...summary(id, job),
        url: access?.url ?? null,
        port: access?.port ?? null,
        ...collector.collected(),
      });
    } else if (access) await tellOfUrl(cli, access, await mags.status(id));
    await tellOfCopy(cli, copy);
    return access ? 0 : (interrupt?.exitCode ?? (await exitCodeOf(cli, id, status)));
  }
  const { status, interrupt } = await attend(cli, mags, id, attendance);
  if (collector) await printJson(cli, { ...summary(id, status), ...collector.collected() });
  else if (status && staysAlive(status)) await tellThatItStays(cli, status);
  if (status) await tellOfCopy(cli, copy);
  return interrupt?.exitCode ?? (await exitCodeOf(cli, id, status));
}

const staysAlive = ({ status }: JobStatus) => status === "running" || status === "sleeping";

async function tellThatItStays(cli: Cli, { request_id: id, name }: JobStatus): Promise<void> {
  await note(cli, `Its VM stays. ID: ${id}`);
  await note(cli, `Go on in it with: mags exec ${name} <command>; end it with: mags stop ${name}`);
}

async function tellOfUrl(cli: Cli, { url }: HttpAccess, { name }: JobStatus): Promise<void> {
  await print(cli, `URL: ${url}`);
  await note(
    cli,
    `Its output: mags logs -f ${name}; what is asked of it: mags url log ${name}; end it with: mags stop ${name}`,
  );
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

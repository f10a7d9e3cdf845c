import { once } from "node:events";
import type { JobStart } from "@mags/domain";

/** What a simulated script can do. */
export interface SimulatedRun {
  readonly job: JobStart;
  /** Aborts when the job is stopped. */
  readonly signal: AbortSignal;
  stdout(bytes: Buffer | string): void;
  stderr(bytes: Buffer | string): void;
  /** What the node itself writes into the output. */
  system(text: string): void;
  note(name: string, data: Readonly<Record<string, unknown>>): void;
}

/** Stands for a script: gives its exit code, or throws an error whose message ends the job as failed. */
export type SimulatedProgram = (run: SimulatedRun) => Promise<number>;

/**
 * Reads scripts of one directive a line: `echo TEXT`, `warn TEXT`, `exit CODE`, `fail MESSAGE`, and `hang` or
 * `sleep infinity`, which end only by a stop. Other lines do nothing.
 */
export const runDirectives: SimulatedProgram = async (run) => {
  const script = run.job.command.kind === "inline" ? run.job.command.script : "";
  for (const line of script.split("\n")) {
    const [, verb, rest = ""] = /^(\w+) ?(.*)$/.exec(line) ?? [];
    if (verb === "echo") run.stdout(`${rest}\n`);
    if (verb === "warn") run.stderr(`${rest}\n`);
    if (verb === "exit") return Number(rest);
    if (verb === "fail") throw new Error(rest);
    if ((verb === "hang" || line === "sleep infinity") && !run.signal.aborted) await once(run.signal, "abort");
    if (run.signal.aborted) return 143;
  }
  return 0;
};

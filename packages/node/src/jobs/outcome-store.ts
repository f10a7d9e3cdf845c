/**
 * How jobs ended, kept until the control plane has stored it. One file a job. Not synced: it bridges a restart of this
 * process; a power cut ends the microVMs too, and what the control plane has not stored then is an error of the job.
 */
import { mkdir, readdir, readFile, rm } from "node:fs/promises";
import { join } from "node:path";
import { type Logger, messageOf } from "@mags/core";
import type { JobEnd, JobId, MicroVmId } from "@mags/domain";
import { writeFileAtomically, writeFileDurably } from "../host/files.ts";

export interface Outcome {
  readonly jobId: JobId;
  readonly microVmId: MicroVmId;
  readonly startedAtMs: number | null;
  readonly end: JobEnd;
}

export interface OutcomeStore {
  /** `durably`: also over a power cut, which the microVM of a sandbox outlives, asleep. */
  put(outcome: Outcome, options?: { readonly durably: boolean }): Promise<void>;
  all(): Promise<Outcome[]>;
  remove(jobId: JobId): Promise<void>;
}

export async function openOutcomeStore(directory: string, deps: { readonly log: Logger }): Promise<OutcomeStore> {
  await mkdir(directory, { recursive: true, mode: 0o700 });
  const pathOf = (jobId: JobId) => join(directory, `${jobId}.json`);
  return {
    put: (outcome, { durably } = { durably: false }) =>
      (durably ? writeFileDurably : writeFileAtomically)(pathOf(outcome.jobId), `${JSON.stringify(outcome)}\n`),
    async all() {
      const outcomes: Outcome[] = [];
      for (const name of await readdir(directory)) {
        const path = join(directory, name);
        try {
          if (!name.endsWith(".json")) throw new Error("left by a write that was not finished");
          outcomes.push(JSON.parse(await readFile(path, "utf8")) as Outcome);
        } catch (error) {
          // A power cut in the middle of a write: the job's end is not known then.
          deps.log.warn("outcome.unreadable", { name, error: messageOf(error) });
          await rm(path, { force: true });
        }
      }
      return outcomes;
    },
    remove: (jobId) => rm(pathOf(jobId), { force: true }),
  };
}

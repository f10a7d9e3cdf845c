/** `exec.json`: what outlives the process of one command besides its output. Described in docs/formats/exec-spool.md. */
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import type { AccountId, ExecEnd, ExecId, GuestId } from "@mags/domain";
import { z } from "zod";
import { writeFileAtomically, writeFileDurably } from "../host/files.ts";

const VERSION = 1;

const Stored = z.object({
  version: z.literal(VERSION),
  exec_id: z.string(),
  guest: z.string(),
  account_id: z.string(),
  terminal: z.boolean(),
  stdin: z.boolean(),
  ends_with_client: z.boolean().default(false),
  input_end_seq: z.int().nullable(),
  end: z
    .object({
      exit_code: z.int(),
      signal: z.int().nullable(),
      timed_out: z.boolean(),
      lost: z.string().nullable(),
    })
    .nullable(),
});

export interface ExecRecord {
  readonly execId: ExecId;
  readonly guest: GuestId;
  readonly accountId: AccountId;
  readonly terminal: boolean;
  readonly stdin: boolean;
  readonly endsWithClient: boolean;
  readonly inputEndSeq: number | null;
  readonly end: ExecEnd | null;
}

const fileOf = (directory: string) => join(directory, "exec.json");

/** @param options  `durable`: also over a power cut. */
export async function writeExecRecord(
  directory: string,
  record: ExecRecord,
  options: { readonly durable: boolean },
): Promise<void> {
  const { end } = record;
  const stored: z.input<typeof Stored> = {
    version: VERSION,
    exec_id: record.execId,
    guest: record.guest,
    account_id: record.accountId,
    terminal: record.terminal,
    stdin: record.stdin,
    ends_with_client: record.endsWithClient,
    input_end_seq: record.inputEndSeq,
    end: end && { exit_code: end.exitCode, signal: end.signal, timed_out: end.timedOut, lost: end.lost },
  };
  const write = options.durable ? writeFileDurably : writeFileAtomically;
  await write(fileOf(directory), JSON.stringify(stored));
}

/** Undefined when there is none, or not one that this version knows. */
export async function readExecRecord(directory: string): Promise<ExecRecord | undefined> {
  let stored: z.infer<typeof Stored>;
  try {
    stored = Stored.parse(JSON.parse(await readFile(fileOf(directory), "utf8")));
  } catch {
    return undefined;
  }
  const { end } = stored;
  return {
    // Written by this module from ids.
    execId: stored.exec_id as ExecId,
    guest: stored.guest as GuestId,
    accountId: stored.account_id as AccountId,
    terminal: stored.terminal,
    stdin: stored.stdin,
    endsWithClient: stored.ends_with_client,
    inputEndSeq: stored.input_end_seq,
    end: end && { exitCode: end.exit_code, signal: end.signal, timedOut: end.timed_out, lost: end.lost },
  };
}

import type { Mags } from "../../sdk/mags.ts";
import type { LogEntry } from "../../sdk/wire.generated.ts";
import { type Cli, note, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { createPrinter, type EntrySink } from "../job-output.ts";

export interface LogsFlags {
  readonly follow?: boolean;
  readonly system?: boolean;
  readonly json?: boolean;
}

/** Prints what a job wrote: byte for byte, or with `--json` its lines as objects. */
export async function logs(cli: Cli, name: string, flags: LogsFlags): Promise<number> {
  const mags = await connect(cli);
  const { request_id: id, status } = await mags.status(name);
  if (flags.json && !flags.follow) {
    await printJson(cli, await mags.logs(id, { system: flags.system }));
    return 0;
  }
  const sink = flags.json ? jsonLines(cli) : createPrinter(cli);
  for await (const entry of entriesOf(cli, mags, id, flags, status)) await sink.write(entry);
  return 0;
}

/** The output of an ended job comes as a stream too: it may be too large for one reply. */
async function* entriesOf(
  cli: Cli,
  mags: Mags,
  id: string,
  { follow, system, json }: LogsFlags,
  status: string,
): AsyncGenerator<LogEntry, void, void> {
  const encoding = json ? "utf8" : "base64";
  if (!follow && status !== "completed" && status !== "error") {
    yield* (await mags.logs(id, { system, encoding })).logs;
    return;
  }
  let told = false;
  yield* mags.followLogs(id, {
    system,
    encoding,
    onConnectionLost(error) {
      if (!told) note(cli, `${error.message}; trying again`).catch(() => {});
      told = true;
    },
  });
}

function jsonLines(cli: Cli): EntrySink {
  return { write: (entry) => printJson(cli, entry) };
}

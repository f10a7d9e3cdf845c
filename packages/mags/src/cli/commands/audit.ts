import type { AuditEntry } from "../../sdk/wire.generated.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { printable, writeTable } from "../format.ts";

export interface AuditFlags {
  readonly n?: number;
  readonly action?: string;
  readonly all?: boolean;
  readonly json?: boolean;
}

const DEFAULT_COUNT = 50;

export async function audit(cli: Cli, flags: AuditFlags): Promise<number> {
  const mags = await connect(cli);
  const { n: limit = DEFAULT_COUNT, action, all, json } = flags;
  const reply = await mags.auditLog({ limit, action, all });
  if (json) await printJson(cli, reply);
  else if (reply.entries.length === 0) await note(cli, "There are no such entries.");
  else await print(cli, writeTable(reply.entries.map((entry) => rowOf(cli, entry, { all: all === true }))));
  return 0;
}

/** Strangers choose some of these texts. */
function rowOf(cli: Cli, entry: AuditEntry, { all }: { readonly all: boolean }): readonly string[] {
  const { at, action, account_email, target, client_address, data } = entry;
  const { gray, bold } = cli.styles.stdout;
  const details = Object.entries(data).map(([key, value]) => `${key}=${value}`);
  return [
    gray(at),
    bold(printable(action)),
    ...(all ? [printable(account_email ?? "-")] : []),
    printable(target ?? "-"),
    printable(client_address ?? "-"),
    printable(details.join(" ")),
  ];
}

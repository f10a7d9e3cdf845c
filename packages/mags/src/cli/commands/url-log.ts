import { setTimeout as delay } from "node:timers/promises";
import type { UrlAccess, UrlCounters } from "../../sdk/wire.generated.ts";
import { type Cli, note, print, printJson } from "../cli.ts";
import { connect } from "../credentials.ts";
import { bytes, duration, printable } from "../format.ts";

export interface UrlLogFlags {
  readonly n?: number;
  readonly follow?: boolean;
  readonly json?: boolean;
}

const DEFAULT_COUNT = 50;
const MOST = 1_000;
const PAUSE_MS = 1_000;

export async function urlLog(cli: Cli, name: string, flags: UrlLogFlags): Promise<number> {
  const mags = await connect(cli);
  const { n: limit = DEFAULT_COUNT, follow, json } = flags;
  const reply = await mags.urlTraffic(name, { limit });
  if (json && !follow) {
    await printJson(cli, reply);
    return 0;
  }
  const show = async (entry: UrlAccess) => (json ? printJson(cli, entry) : print(cli, lineOf(cli, entry)));
  for (const entry of reply.entries) await show(entry);
  if (!follow) {
    await note(cli, countersText(reply.counters));
    return 0;
  }
  let after = reply.entries.at(-1)?.id ?? 0;
  for (;;) {
    const { entries } = await mags.urlTraffic(name, { after, limit: MOST });
    for (const entry of entries) await show(entry);
    after = entries.at(-1)?.id ?? after;
    if (entries.length < MOST) await delay(PAUSE_MS);
  }
}

/** Strangers choose some of these texts. */
function lineOf(cli: Cli, { at, client_address, method, host, path, ...entry }: UrlAccess): string {
  const { gray, green, red, yellow } = cli.styles.stdout;
  const paint = entry.status >= 500 ? red : entry.status >= 400 ? yellow : green;
  const asked = printable(`${method} ${host}${path}`);
  const size = `${bytes(entry.bytes_in)} in, ${bytes(entry.bytes_out)} out`;
  return `${gray(at)}  ${paint(`${entry.status}`)}  ${asked}  ${duration(entry.duration_ms)}  ${size}  ${gray(printable(client_address))}`;
}

function countersText({ requests, bytes_in, bytes_out, by_status }: UrlCounters): string {
  if (requests === 0) return "Nothing was asked yet.";
  const statuses = Object.entries(by_status).map(([status, count]) => `${status}: ${count}`);
  return `In all ${requests} requests (${statuses.join(", ")}), ${bytes(bytes_in)} in, ${bytes(bytes_out)} out.`;
}

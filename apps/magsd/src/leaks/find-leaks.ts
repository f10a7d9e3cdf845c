/**
 * Looks for things that nobody owns. A server that runs is asked what it has, before and after each look; and what one
 * look finds counts only when a later one finds it again, because a server at work makes and removes things all the time.
 */
import { sleep } from "@mags/core";
import {
  type Expected,
  footprintAtRest,
  importsUnderWay,
  judge,
  mergeFootprints,
  type NodeFootprint,
  type Trace,
} from "@mags/node";
import type { ServerConfig } from "../config.ts";
import { callControlSocket } from "../control-socket.ts";
import { placesOf } from "../installation.ts";
import { observe } from "./observe.ts";

export interface Finding {
  readonly what: string;
  readonly name: string;
}

export interface LeakReport {
  readonly server_runs: boolean;
  readonly leaks: readonly Finding[];
  /** While no server runs: what a start adopts or removes. */
  readonly for_next_start: readonly Finding[];
  /** While no server runs: what goes on for jobs. */
  readonly going_on: readonly (Finding & { readonly job_id: string })[];
}

const CALL_MS = 10_000;
const IDS_PER_CALL = 200;
/** As after the restore of a database from a copy: what is on the disk may be all there is of it. */
const UNKNOWN_SANDBOX =
  "sandbox that the database does not have, kept (when nothing on its disk is needed: magsd stop --all, then remove it)";
/** More than what tidying up after a microVM takes under load. */
const BETWEEN_LOOKS_MS = 3_000;

export async function findLeaks(config: ServerConfig): Promise<LeakReport> {
  const first = await look(config);
  if (first.leaks.length === 0) return first;
  await sleep(BETWEEN_LOOKS_MS);
  const second = await look(config);
  const seenBefore = new Set(first.leaks.map(keyOf));
  return { ...second, leaks: second.leaks.filter((finding) => seenBefore.has(keyOf(finding))) };
}

function keyOf({ what, name }: Finding): string {
  return `${what}\0${name}`;
}

async function look(config: ServerConfig): Promise<LeakReport> {
  const ask = <T>(target: string) => callControlSocket<T>(placesOf(config).controlSocket, "GET", target, CALL_MS);
  const footprint = () => ask<NodeFootprint>("/footprint");
  const before = await footprint();
  const traces = await observe(config);
  const after = await footprint();
  const serverRuns = before !== undefined && after !== undefined;
  const own = serverRuns ? mergeFootprints(before, after) : await footprintAtRest(config.data_dir);
  // A command imports an image, not the server.
  const work = [...own.work, ...(await importsUnderWay(config.data_dir))];
  const unknown = async (target: string, ids: readonly string[]) =>
    serverRuns ? unknownOf(ids, target, ask) : new Set<string>();
  const jobs = traces.flatMap(({ owner }) => (owner.kind === "log" ? [owner.jobId] : []));
  const uploads = traces.flatMap(({ owner }) => (owner.kind === "upload" ? [owner.id] : []));
  const sandboxes = traces.flatMap(({ owner }) => (owner.kind === "sandbox" ? [owner.id] : []));
  const [unknownJobs, unknownUploads, unknownSandboxes] = await Promise.all([
    unknown("/unknown-jobs", jobs),
    unknown("/unknown-uploads", uploads),
    unknown("/unknown-sandboxes", sandboxes),
  ]);
  return report(traces, { ...own, work, serverRuns, unknownJobs, unknownUploads, unknownSandboxes });
}

async function unknownOf(
  ids: readonly string[],
  target: string,
  ask: <T>(target: string) => Promise<T | undefined>,
): Promise<ReadonlySet<string>> {
  const unknown = new Set<string>();
  for (let from = 0; from < ids.length; from += IDS_PER_CALL) {
    const some = ids.slice(from, from + IDS_PER_CALL).map(encodeURIComponent);
    for (const id of (await ask<string[]>(`${target}?ids=${some.join(",")}`)) ?? []) unknown.add(id);
  }
  return unknown;
}

export function report(traces: readonly Trace[], expected: Expected): LeakReport {
  const leaks: Finding[] = [];
  const forNextStart: Finding[] = [];
  const isUnknown = ({ owner }: Trace) => owner.kind === "sandbox" && expected.unknownSandboxes.has(owner.id);
  const goingOn: (Finding & { readonly job_id: string })[] = [];
  for (const trace of traces) {
    const { what, name } = trace;
    const verdict = judge(trace, expected);
    if (verdict.kind === "leak") leaks.push({ what: isUnknown(trace) ? UNKNOWN_SANDBOX : what, name });
    if (verdict.kind === "next-start") forNextStart.push({ what, name });
    if (verdict.kind === "goes-on") goingOn.push({ what, name, job_id: verdict.jobId });
  }
  return { server_runs: expected.serverRuns, leaks, for_next_start: forNextStart, going_on: goingOn };
}

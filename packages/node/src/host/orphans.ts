/**
 * Helpers that an earlier process of this node had started when it was killed, and that are still at work: what they
 * make would appear after a start has looked for what is left.
 */
import { readdir, readFile, readlink } from "node:fs/promises";
import { basename } from "node:path";
import { identify, isAlive, killAndWait, type ProcessIdentity, sleep } from "@mags/core";

/** How long a tool that is at work may take to come to its end by itself. */
const TOOL_MS = 10_000;
const POLL_MS = 10;

/** What the look at a process needs, as /proc shows it. */
export interface ProcessView {
  readonly pid: number;
  /** File of the program, perhaps with ` (deleted)` behind it. */
  readonly program: string;
  readonly args: readonly string[];
  readonly parentProgram: string;
}

/** By what a process is known as one of this node's: others run programs through a loader, too. */
export interface OrphanMarks {
  readonly isOurUid: (uid: number) => boolean;
  /** Where the runtime roots of this installation are, those of older releases, too. */
  readonly runtimeRoots: string;
}

/**
 * `end`: the launcher, on its way to become a program under one of our uids. `await`: a tool of a runtime root, which acts
 * on the host and ends soon. A process whose parent is a living Node is not left over.
 */
export function orphanKind(view: ProcessView, { isOurUid, runtimeRoots }: OrphanMarks): "end" | "await" | null {
  const program = nameOf(view.program);
  if (nameOf(view.parentProgram) === "node") return null;
  if (program === "mags-launch") {
    const uid = view.args[view.args.indexOf("--uid") + 1];
    return view.args.includes("--uid") && isOurUid(Number(uid)) ? "end" : null;
  }
  const libraries = view.args[view.args.indexOf("--library-path") + 1] ?? "";
  const isTool = program.startsWith("ld-linux") && view.args.includes("--argv0");
  return isTool && libraries.startsWith(`${runtimeRoots}/`) ? "await" : null;
}

function nameOf(path: string): string {
  return basename(path.replace(/ \(deleted\)$/, ""));
}

/** Resolves when none is left. A tool that does not come to its end is killed. */
export async function settleOrphans(marks: OrphanMarks): Promise<void> {
  for (const name of await readdir("/proc")) {
    const view = /^\d+$/.test(name) ? await look(Number(name)) : undefined;
    const kind = view && orphanKind(view, marks);
    const identity = kind ? await identify(Number(name)) : undefined;
    if (!identity) continue;
    if (kind === "await") await untilEnded(identity, TOOL_MS);
    await killAndWait(identity);
  }
}

/** Whether the process was left by one that ended: its parent is no living Node. */
export async function isOrphan(pid: number): Promise<boolean> {
  return nameOf((await look(pid))?.parentProgram ?? "") !== "node";
}

async function untilEnded(identity: ProcessIdentity, deadlineMs: number): Promise<void> {
  for (let waited = 0; waited < deadlineMs && (await isAlive(identity)); waited += POLL_MS) await sleep(POLL_MS);
}

/** Nothing for a process that is gone, and for the kernel's own. */
async function look(pid: number): Promise<ProcessView | undefined> {
  const programOf = (of: string) => readlink(`/proc/${of}/exe`).catch(() => "");
  const program = await programOf(String(pid));
  if (program === "") return undefined;
  const status = await readFile(`/proc/${pid}/status`, "latin1").catch(() => "");
  const parent = /^PPid:\s+(\d+)/m.exec(status)?.[1] ?? "0";
  const commandLine = await readFile(`/proc/${pid}/cmdline`, "utf8").catch(() => "");
  return { pid, program, args: commandLine.split("\0"), parentProgram: await programOf(parent) };
}

/** Looks for what a node has in its data directory. */
import { readdir } from "node:fs/promises";
import { join } from "node:path";
import { BUILD_PREFIX, PUBLISH_PREFIX } from "../images/image-store.ts";
import type { Owner, Trace } from "./trace.ts";

const INSTALLATION: Owner = { kind: "installation" };
const UNFINISHED: Owner = { kind: "nobody", swept: true };
const UNKNOWN: Owner = { kind: "nobody", swept: false };

/** Whose a file of the node's is, by its name; nothing for directories, which are looked into. */
const FILES: Readonly<Record<string, Owner | null>> = {
  vms: null,
  templates: null,
  disks: null,
  work: null,
  execs: null,
  outcomes: null,
  logs: null,
  sandboxes: null,
  images: null,
  "node.lock": INSTALLATION,
  "marks.json": INSTALLATION,
  "accelerator.json": INSTALLATION,
  "installation.json": INSTALLATION,
  "forwarding-turned-on": INSTALLATION,
};

/** @param others  Files in the data directory that are not the node's, as `FILES`. */
export async function observeFiles(
  dataDirectory: string,
  others: Readonly<Record<string, Owner | null>>,
): Promise<Trace[]> {
  const known = { ...others, ...FILES };
  const traces: Trace[] = [];
  const add = (what: string, path: string, owner: Owner) => traces.push({ what, name: path, owner });
  const namesIn = (...parts: string[]) => readdir(join(dataDirectory, ...parts)).catch(() => [] as string[]);
  const path = (...parts: string[]) => join(dataDirectory, ...parts);

  for (const name of await namesIn()) {
    const owner = known[name];
    if (owner === null) continue;
    if (owner) add("file", path(name), owner);
    else add("file", path(name), name.endsWith(".tmp") ? UNFINISHED : UNKNOWN);
  }
  for (const name of await namesIn("vms")) add("VM directory", path("vms", name), { kind: "microvm", id: name });
  for (const name of await namesIn("work")) add("half-made", path("work", name), { kind: "work", name });
  for (const name of await namesIn("sandboxes")) {
    const isWhole = (await namesIn("sandboxes", name)).includes("sandbox.json");
    add("sandbox", path("sandboxes", name), isWhole ? { kind: "sandbox", id: name } : UNFINISHED);
  }
  for (const name of await namesIn("execs"))
    add("streamed command", path("execs", name), { kind: "exec", execId: name });
  for (const name of await namesIn("templates")) {
    const isWhole = (await namesIn("templates", name)).includes("template.json");
    add("template", path("templates", name), isWhole ? INSTALLATION : UNFINISHED);
  }
  for (const name of await namesIn("images")) add("image", path("images", name), await ownerOfImageFile(name));
  for (const name of await namesIn("disks"))
    add("disk", path("disks", name), /^(empty|blank)-\d+g\.qcow2$/.test(name) ? INSTALLATION : UNKNOWN);
  for (const name of await namesIn("outcomes")) {
    const jobId = /^(.+)\.json$/.exec(name)?.[1];
    add("end of a job", path("outcomes", name), jobId === undefined ? UNFINISHED : { kind: "outcome", jobId });
  }
  for (const shard of await namesIn("logs"))
    for (const name of await namesIn("logs", shard)) {
      const jobId = /^(.+)\.log$/.exec(name)?.[1];
      add("output of a job", path("logs", shard, name), jobId === undefined ? UNKNOWN : { kind: "log", jobId });
    }
  return traces;

  async function ownerOfImageFile(name: string): Promise<Owner> {
    if (["names.json", "import.lock"].includes(name)) return INSTALLATION;
    if (name.startsWith(BUILD_PREFIX)) return { kind: "work", name };
    if (name.endsWith(".tmp") || name.startsWith(PUBLISH_PREFIX)) return UNFINISHED;
    // Without a record it is no image; `magsd image gc` removes it.
    return (await namesIn("images", name)).includes("image.json") ? INSTALLATION : UNKNOWN;
  }
}

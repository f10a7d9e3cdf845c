/**
 * The state record of a microVM: what a node needs to find it again after its own restart, or to remove what is left of
 * it. Written before the thing it describes exists, replaced as a whole.
 */
import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { MicroVmId, MicroVmSize } from "@mags/domain";
import { writeFileDurably } from "../host/files.ts";
import type { ProcessIdentity } from "../host/processes.ts";
import { type Binding, readBinding } from "./binding.ts";

export interface MicroVmRecord {
  readonly version: 1;
  readonly id: MicroVmId;
  /** Number of its network namespace; its uid is the configured base plus this. */
  readonly index: number;
  readonly templateKey: string;
  /** Names the boot of the host in which `process` means something. */
  readonly bootId: string;
  readonly process: ProcessIdentity | null;
  /** Set when it waits in the pool. */
  readonly parked: { readonly mounted: boolean; readonly size: MicroVmSize } | null;
}

/** A record that was found, and the job its microVM was bound to. */
export interface FoundRecord {
  readonly record: MicroVmRecord;
  readonly binding: Binding | null;
}

export interface MicroVmPaths {
  readonly directory: string;
  readonly record: string;
  readonly binding: string;
  readonly qemuLog: string;
  /** Owned by the microVM's uid; QEMU sees it as /vm. */
  readonly jail: string;
  readonly qmpSocket: string;
  readonly controlSocket: string;
  readonly bulkSocket: string;
}

export function pathsOf(root: string, id: MicroVmId): MicroVmPaths {
  const directory = join(root, id);
  const jail = join(directory, "jail");
  return {
    directory,
    record: join(directory, "vm.json"),
    binding: join(directory, "job"),
    qemuLog: join(directory, "qemu.log"),
    jail,
    qmpSocket: join(jail, "qmp.sock"),
    controlSocket: join(jail, "control.sock"),
    bulkSocket: join(jail, "bulk.sock"),
  };
}

export async function writeRecord(root: string, record: MicroVmRecord): Promise<void> {
  const paths = pathsOf(root, record.id);
  await mkdir(paths.directory, { recursive: true, mode: 0o711 });
  await writeFileDurably(paths.record, `${JSON.stringify(record)}\n`);
}

/** What lies under the root: records, and names of directories that have none that can be read. */
export async function readRecords(root: string): Promise<{ readonly found: FoundRecord[]; readonly strays: string[] }> {
  const found: FoundRecord[] = [];
  const strays: string[] = [];
  for (const name of await readdir(root)) {
    try {
      const record = JSON.parse(await readFile(join(root, name, "vm.json"), "utf8")) as MicroVmRecord;
      if (record.version !== 1 || record.id !== name) throw new Error("record of another version or place");
      found.push({ record, binding: await readBinding(pathsOf(root, record.id).binding) });
    } catch {
      strays.push(name);
    }
  }
  return { found, strays };
}

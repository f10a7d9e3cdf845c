/**
 * The state record of a microVM: what a node needs to find it again after its own restart, or to remove what is left of
 * it. Written before the thing it describes exists, replaced as a whole.
 */

import { mkdir, readdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import type { ProcessIdentity } from "@mags/core";
import type { MicroVmId, MicroVmSize } from "@mags/domain";
import { writeFileDurably } from "../host/files.ts";
import { type Binding, readBinding } from "./binding.ts";

const RECORD_VERSION = 1;

export interface MicroVmRecord {
  readonly version: typeof RECORD_VERSION;
  readonly id: MicroVmId;
  /** Number of its network namespace; its uid is the configured base plus this. */
  readonly index: number;
  /** Null when it was woken. */
  readonly templateKey: string | null;
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
  /** QEMU sees it as /vm. It owns the disks in there, not the directory: it could put links into that. */
  readonly jail: string;
  /** Sockets lie outside the jail, where QEMU cannot put anything else in their place. */
  readonly qmpSocket: string;
  readonly controlSocket: string;
  readonly bulkSocket: string;
}

export function pathsOf(root: string, id: MicroVmId): MicroVmPaths {
  const directory = join(root, id);
  return {
    directory,
    record: join(directory, "vm.json"),
    binding: join(directory, "job"),
    jail: join(directory, "jail"),
    qmpSocket: join(directory, "qmp.sock"),
    controlSocket: join(directory, "control.sock"),
    bulkSocket: join(directory, "bulk.sock"),
  };
}

export async function writeRecord(root: string, record: MicroVmRecord): Promise<void> {
  const paths = pathsOf(root, record.id);
  await mkdir(paths.directory, { recursive: true, mode: 0o711 });
  await writeFileDurably(paths.record, `${JSON.stringify(record)}\n`);
}

/** What a start finds of microVMs. */
export interface FoundMicroVms {
  readonly found: FoundRecord[];
  /** Names of directories without a record that can be read. */
  readonly strays: string[];
  /** Names of directories that a newer version of the node wrote: this one does not know what they say. */
  readonly newer: string[];
}

/** What lies under the root. */
export async function readRecords(root: string): Promise<FoundMicroVms> {
  const all: FoundMicroVms = { found: [], strays: [], newer: [] };
  for (const name of await readdir(root)) {
    try {
      const record = JSON.parse(await readFile(join(root, name, "vm.json"), "utf8")) as MicroVmRecord;
      const binding = await readBinding(pathsOf(root, name as MicroVmId).binding);
      if (Number(record.version) > RECORD_VERSION || binding === "newer") all.newer.push(name);
      else if (record.version !== RECORD_VERSION || record.id !== name) all.strays.push(name);
      else all.found.push({ record, binding });
    } catch {
      all.strays.push(name);
    }
  }
  return all;
}

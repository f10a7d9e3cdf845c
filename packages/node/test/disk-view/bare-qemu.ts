/** A QEMU without machine and jail: the block nodes of a microVM's disk, and a monitor. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { join } from "node:path";
import { type RuntimeRoot, toolCommand } from "@mags/runtime-root";
import type { ViewPlace } from "../../src/qemu/disk-view/place.ts";
import { openQmp, type Qmp } from "../../src/qemu/qmp.ts";

const DEADLINE_MS = 60_000;

export interface BareQemu extends AsyncDisposable {
  readonly qmp: Qmp;
  readonly place: ViewPlace;
  readonly pid: number;
  /** As the guest would. */
  write(offset: number, length: number, byte: number): Promise<void>;
  /** As the guest would. */
  discard(offset: number, length: number): Promise<void>;
  /** Another connection in the place of `qmp`, as a server that is started again makes it. */
  connectAgain(): Promise<Qmp>;
  /** Ends by itself, as when a microVM is put to sleep. */
  quit(): Promise<void>;
  kill(): Promise<void>;
}

/**
 * @param directory  Holds `disk.qcow2`, and gets everything else.
 * @param base       Options of what the disk stands on.
 */
export async function startBareQemu(runtime: RuntimeRoot, directory: string, base?: string): Promise<BareQemu> {
  const at = (name: string) => join(directory, name);
  const own = `driver=qcow2,discard=unmap,file.driver=file,file.filename=${at("disk.qcow2")},file.node-name=disk1-file`;
  const disk = `${own},node-name=disk1${base === undefined ? "" : `,${base}`}`;
  const { file, args } = toolCommand(runtime, "/usr/bin/qemu-system-x86_64", [
    ...["-machine", "none", "-S", "-nodefaults", "-no-user-config", "-display", "none"],
    ...["-blockdev", disk, "-blockdev", "driver=raw,file=disk1,node-name=slot,discard=unmap"],
    ...["-qmp", `unix:${at("qmp.sock")},server=on,wait=off`],
  ]);
  const child = spawn(file, [...args], { stdio: ["ignore", "ignore", "inherit"] });
  const gone = once(child, "exit");
  const connect = () => openQmp(at("qmp.sock"), { signal: AbortSignal.timeout(DEADLINE_MS) });
  let qmp = await connect();
  return {
    get qmp() {
      return qmp;
    },
    pid: child.pid ?? 0,
    place: {
      socket: at("view.sock"),
      scratch: { host: at("view"), jail: at("view") },
      uid: process.getuid?.() ?? 0,
    },
    write: (offset, length, byte) => writeDisk(qmp, { offset, length, byte }),
    discard: (offset, length) => inSlot(qmp, `discard -q ${offset} ${length}`),
    async connectAgain() {
      await qmp[Symbol.asyncDispose]();
      qmp = await connect();
      return qmp;
    },
    async quit() {
      await qmp.execute("quit").catch(() => {}); // the connection may end before the answer
      await gone;
    },
    async kill() {
      child.kill("SIGKILL");
      await gone;
    },
    async [Symbol.asyncDispose]() {
      await qmp[Symbol.asyncDispose]();
      child.kill("SIGKILL");
      await gone;
    },
  };
}

/** Writes through the slot, as the guest's disk does. Whether that went well shows in what the disk holds then. */
export async function writeDisk(
  qmp: Qmp,
  { offset, length, byte }: { readonly offset: number; readonly length: number; readonly byte: number },
): Promise<void> {
  await inSlot(qmp, `write -q -P ${byte} ${offset} ${length}`);
}

async function inSlot(qmp: Qmp, command: string): Promise<void> {
  await qmp.execute("human-monitor-command", { "command-line": `qemu-io slot "${command}"` });
}

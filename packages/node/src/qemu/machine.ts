/** What the node does with a running QEMU, in terms of microVMs. */
import { EXPORT_NAME } from "@mags/block-server";
import { AppError, sleep } from "@mags/core";
import { z } from "zod";
import { foreignText } from "../foreign-text.ts";
import { PLACEHOLDER_BYTES, WOKEN_DISK } from "./command-line.ts";
import { baseOf, fileOf } from "./disk-view/block-graph.ts";
import { createDiskWaits } from "./disk-waits.ts";
import type { Qmp } from "./qmp.ts";

/** Why a guest no longer runs although nobody stopped it. */
export type GuestEnd = "panicked" | "rebooted" | "powered off" | "failed";

/** What the disks of one microVM may do in all, in a second; 0: as much as they can. */
export interface DiskIoCaps {
  readonly bytesPerSecond: number;
  readonly operationsPerSecond: number;
}

export interface Machine {
  readonly qmp: Qmp;
  /** Loads the template's device state. The guest stays paused and has never run. */
  loadTemplate(statePath: string): Promise<void>;
  /** Writes the device state of a paused guest whose memory is a shared file. */
  saveTemplate(statePath: string): Promise<void>;
  /** Writes memory and device state of a paused guest. Afterwards it can be resumed or ended; its disk is at rest. */
  saveMemory(path: string, options: { readonly deadlineMs: number }): Promise<void>;
  /** Loads what `saveMemory` wrote, into a machine that was started for it. The guest stays paused. */
  loadMemory(path: string, options: { readonly deadlineMs: number }): Promise<void>;
  /** Gives up a save that is under way, which an earlier process began. */
  cancelSave(): Promise<void>;
  /** Makes the disk in the slot larger; the guest is told. */
  growDisk(sizeBytes: number): Promise<void>;
  /**
   * Gives the paused guest's slot another disk. `neverRan`: this guest was loaded and not yet resumed. `backing`: the block
   * server's socket, where what is not on the disk itself is read. `used`: another QEMU had it, and may have been killed.
   */
  insertDisk(disk: {
    readonly path: string;
    readonly sizeBytes: number;
    readonly neverRan: boolean;
    readonly backing?: string;
    readonly used?: boolean;
  }): Promise<void>;
  /** Takes the disk out of the paused guest's slot: the placeholder is back and the file closed. */
  ejectDisk(): Promise<void>;
  /** Holds for the devices, whatever disk is in the slot. */
  capDiskIo(caps: DiskIoCaps): Promise<void>;
  resume(): Promise<void>;
  pause(): Promise<void>;
  /**
   * `waiting`: stopped by QEMU in the middle of a write for which the host's disk has no room; `resume` tries it again. How
   * the guest ended, if it has.
   */
  status(): Promise<"running" | "paused" | "waiting" | GuestEnd>;
  /** The last lines of the guest's console, for people. */
  consoleTail(): Promise<string>;
  quit(): Promise<void>;
  /** Called once, when the guest ends by itself. */
  onGuestEnd(listener: (end: GuestEnd) => void): void;
  /** Called once a shortage, when the host's disk has no room for what the guest writes. It waits until there is some. */
  onDiskFull(listener: () => void): void;
  /**
   * Aborted while a write of the guest waits, for room or for what its disk stands on: the guest stands still. Another one some
   * seconds after the last try that failed.
   */
  readonly stuck: AbortSignal;
}

const POLL_MS = 2;
const LOAD_DEADLINE_MS = 30_000;
const CANCEL_DEADLINE_MS = 10_000;
const SAVE_THREADS = 2;
/** Bytes a second. */
const UNLIMITED = 2 ** 40;
const CONSOLE_BYTES = 65_536;
const MAX_REASON = 500;

/** So much more than its caps may a microVM's disk do that rested, for so long: starts and installations are bursts. */
const BURST_FACTOR = 4;
const BURST_SECONDS = 5;
/** A larger operation counts as several. */
const OPERATION_BYTES = 1024 ** 2;

const OPEN_SECONDS = 10;
/** Reads wait for so long for a block server that is away: 100 days. */
const RECONNECT_SECONDS = 100 * 86_400;

/** What is read of QEMU's answers; the rest of them is left alone. */
const StatusReply = z.object({ status: z.string() });
const MigrationReply = z.object({ status: z.string().optional(), "error-desc": z.string().optional() });
const ConsoleReply = z.string();
const BitmapsReply = z.array(
  z.object({
    "node-name": z.string(),
    "dirty-bitmaps": z
      .array(z.object({ name: z.string().optional(), inconsistent: z.boolean().optional() }))
      .optional(),
  }),
);

function endOf(status: string, reason?: unknown): GuestEnd | undefined {
  if (status === "guest-panicked") return "panicked";
  if (status === "shutdown") return reason === "guest-reset" ? "rebooted" : "powered off";
  if (status === "internal-error") return "failed";
  return undefined;
}

/** The same for the disk of a microVM that wakes, as options on its command line. */
export function wokenBacking(socket: string): string {
  const { driver, server, export: name, ...others } = backingOptions(socket);
  const fixed = [`driver=${driver}`, `server.type=${server.type}`, `server.path=${server.path}`, `export=${name}`];
  const more = Object.entries(others).map(([key, value]) => `${key}=${value === true ? "on" : value}`);
  return [...fixed, ...more, `node-name=${baseOf(WOKEN_DISK)}`].map((option) => `backing.${option}`).join(",");
}

/** What a disk stands on: read only, and waited for however long it is away. */
export function backingOptions(socket: string) {
  return {
    driver: "nbd",
    server: { type: "unix", path: socket },
    export: EXPORT_NAME,
    "read-only": true,
    "open-timeout": OPEN_SECONDS,
    "reconnect-delay": RECONNECT_SECONDS,
  } as const;
}

/**
 * Puts another block node into the slot, or the same again: what the guest discards reaches it from then on. The guest goes on
 * without noticing, if it has the same content and size.
 */
export function pointSlotAt(qmp: Qmp, node: string): Promise<void> {
  const slot = { driver: "raw", "node-name": "slot", discard: "unmap", file: node };
  return qmp.execute("blockdev-reopen", { options: [slot] });
}

async function removeBrokenBitmaps(qmp: Qmp, node: string): Promise<void> {
  const nodes = await qmp.query("query-named-block-nodes", BitmapsReply, { flat: true });
  const bitmaps = nodes.find((one) => one["node-name"] === node)?.["dirty-bitmaps"] ?? [];
  for (const { name, inconsistent } of bitmaps)
    if (name !== undefined && inconsistent === true) await qmp.execute("block-dirty-bitmap-remove", { node, name });
}

export function createMachine(qmp: Qmp): Machine {
  let serial = 0;
  /** Node names of what is in the slot. */
  let inserted: string | undefined;
  let shutdownReason: unknown;
  const listeners: ((end: GuestEnd) => void)[] = [];
  let ended = false;
  const waits = createDiskWaits(() => {
    qmp.execute("cont").catch(() => {}); // QEMU has gone, which others see, too
  });
  void qmp.closed.then(waits.end);

  function tell(end: GuestEnd): void {
    if (ended) return;
    ended = true;
    for (const listener of listeners) listener(end);
  }

  qmp.onEvent(({ event, data }) => {
    if (event === "SHUTDOWN" && data.guest === true) {
      shutdownReason = data.reason;
      tell(data.reason === "guest-panic" ? "panicked" : data.reason === "guest-reset" ? "rebooted" : "powered off");
    }
    if (event === "GUEST_PANICKED") tell("panicked");
    if (event === "BLOCK_IO_ERROR" && data.action === "stop") waits.found(data.operation);
  });

  async function status(): Promise<"running" | "paused" | "waiting" | GuestEnd | "busy"> {
    const { status } = await qmp.query("query-status", StatusReply);
    if (status === "running") return "running";
    if (status === "io-error") return "waiting";
    const end = endOf(status, shutdownReason);
    if (end) return end;
    return ["paused", "prelaunch", "postmigrate"].includes(status) ? "paused" : "busy";
  }

  async function migrated(deadlineMs = LOAD_DEADLINE_MS): Promise<void> {
    for (const begunMs = performance.now(); ; ) {
      const { status, "error-desc": error } = await qmp.query("query-migrate", MigrationReply);
      if (status === "completed") return;
      if (status === "failed" || status === "cancelled" || performance.now() - begunMs > deadlineMs) {
        const reason = foreignText(error ?? status ?? "no progress", MAX_REASON);
        throw new AppError("internal", `QEMU could not move the device state: ${reason}`);
      }
      await sleep(POLL_MS);
    }
  }

  const setCapabilities = (states: Readonly<Record<string, boolean>>) =>
    qmp.execute("migrate-set-capabilities", {
      capabilities: Object.entries(states).map(([capability, state]) => ({ capability, state })),
    });
  const ignoreShared = () => setCapabilities({ "x-ignore-shared": true });
  /** Every page has its place in the file: a page that changes while it is written is not written twice. */
  const mapMemory = () =>
    Promise.all([
      setCapabilities({ "x-ignore-shared": false, "mapped-ram": true, multifd: true }),
      qmp.execute("migrate-set-parameters", { "multifd-channels": SAVE_THREADS, "max-bandwidth": UNLIMITED }),
    ]);

  return {
    qmp,
    async loadTemplate(statePath) {
      await ignoreShared();
      await qmp.execute("migrate-incoming", { uri: `file:${statePath}` });
      await migrated();
    },
    async saveTemplate(statePath) {
      await ignoreShared();
      await qmp.execute("migrate", { uri: `file:${statePath}` });
      await migrated();
    },
    async saveMemory(path, { deadlineMs }) {
      await mapMemory();
      await qmp.execute("migrate", { uri: `file:${path}` });
      try {
        await migrated(deadlineMs);
      } catch (error) {
        // Else it would go on, and at its end stop a guest that was resumed.
        await qmp.execute("migrate_cancel");
        await migrated(CANCEL_DEADLINE_MS).catch(() => {}); // cancelled, or failed
        throw error;
      }
    },
    async loadMemory(path, { deadlineMs }) {
      await mapMemory();
      await qmp.execute("migrate-incoming", { uri: `file:${path}` });
      await migrated(deadlineMs);
    },
    async cancelSave() {
      await qmp.execute("migrate_cancel");
    },
    async growDisk(sizeBytes) {
      await qmp.execute("block_resize", { "node-name": "slot", size: sizeBytes });
    },
    async insertDisk({ path, sizeBytes, neverRan, backing, used = false }) {
      const name = `disk${++serial}`;
      const previous = inserted ?? "placeholder";
      await Promise.all([
        ...(backing === undefined
          ? []
          : [qmp.execute("blockdev-add", { ...backingOptions(backing), "node-name": baseOf(name) })]),
        qmp.execute("blockdev-add", {
          driver: "qcow2",
          "node-name": name,
          discard: "unmap",
          file: { driver: "file", filename: path, aio: "threads", "node-name": fileOf(name) },
          ...(backing !== undefined && { backing: baseOf(name) }),
        }),
        pointSlotAt(qmp, name),
        // After an incoming load every block node is inactive until the guest first runs, and an inactive one cannot be resized.
        ...(neverRan ? [qmp.execute("blockdev-set-active", { active: true })] : []),
        ...(used ? [] : [qmp.execute("block_resize", { "node-name": "slot", size: sizeBytes })]),
        qmp.execute("blockdev-del", { "node-name": previous }),
      ]);
      if (used) {
        // A disk with bitmaps of a QEMU that was killed cannot be resized.
        await removeBrokenBitmaps(qmp, name);
        await qmp.execute("block_resize", { "node-name": "slot", size: sizeBytes });
      }
      inserted = name;
    },
    async ejectDisk() {
      if (!inserted) return;
      await Promise.all([
        qmp.execute("blockdev-add", {
          driver: "null-co",
          size: PLACEHOLDER_BYTES,
          "read-zeroes": true,
          "node-name": "placeholder",
        }),
        pointSlotAt(qmp, "placeholder"),
        qmp.execute("blockdev-del", { "node-name": inserted }),
      ]);
      inserted = undefined;
    },
    async capDiskIo({ bytesPerSecond, operationsPerSecond }) {
      const unlimited = { bps: 0, bps_rd: 0, bps_wr: 0, iops: 0, iops_rd: 0, iops_wr: 0 };
      const limits = {
        ...unlimited,
        ...(bytesPerSecond > 0 && {
          bps: bytesPerSecond,
          bps_max: bytesPerSecond * BURST_FACTOR,
          bps_max_length: BURST_SECONDS,
        }),
        ...(operationsPerSecond > 0 && {
          iops: operationsPerSecond,
          iops_max: operationsPerSecond * BURST_FACTOR,
          iops_max_length: BURST_SECONDS,
          iops_size: OPERATION_BYTES,
        }),
      };
      const devices = ["vda", "vdb"].map((name) =>
        qmp.execute("block_set_io_throttle", {
          id: `/machine/peripheral/${name}/virtio-backend`,
          group: "disks",
          ...limits,
        }),
      );
      await Promise.all(devices);
    },
    async resume() {
      waits.letGo();
      await qmp.execute("cont");
    },
    async pause() {
      waits.hold();
      await qmp.execute("stop");
    },
    async status() {
      for (let waited = 0; ; waited += POLL_MS) {
        const now = await status();
        if (now !== "busy") return now;
        if (waited > LOAD_DEADLINE_MS) throw new AppError("microvm_lost", "QEMU stays in a state between states");
        await sleep(POLL_MS);
      }
    },
    async consoleTail() {
      const text = await qmp.query("ringbuf-read", ConsoleReply, {
        device: "console",
        size: CONSOLE_BYTES,
        format: "base64",
      });
      return Buffer.from(text, "base64")
        .toString("latin1")
        .replaceAll(/[^\x20-\x7e\n]/g, "");
    },
    async quit() {
      await qmp.execute("quit").catch(() => {}); // the connection may end before the answer
    },
    onGuestEnd: (listener) => void listeners.push(listener),
    onDiskFull: waits.onWrite,
    get stuck() {
      return waits.stuck;
    },
  };
}

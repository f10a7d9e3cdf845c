import { spawn } from "node:child_process";
import { EventEmitter } from "node:events";
import { createLineSplitter } from "@mags/domain";
import type { JobEvent, JobStatus, LogEntry, SubmitJob } from "../src/sdk/wire.generated.ts";

export interface Piece {
  readonly source: LogEntry["source"];
  readonly bytes: Buffer;
}

export type Encoding = "utf8" | "base64";

const TIME = "2026-01-02T03:04:05.678Z";

/** A job whose output and end a test decides. Emits `change`. */
export class ScriptedJob extends EventEmitter {
  readonly body: SubmitJob;
  readonly status: JobStatus;
  readonly pieces: Piece[] = [];
  readonly events: JobEvent[] = [
    { id: 1, at: "2026-01-02T03:04:05.000Z", name: "accepted", message: "accepted", data: {} },
    { id: 2, at: "2026-01-02T03:04:05.040Z", name: "started", message: "started in vm-0123456789ab", data: {} },
  ];
  stopped = false;
  /** Entries that the last event stream has sent. */
  sent = 0;

  constructor(id: string, body: SubmitJob) {
    super();
    this.setMaxListeners(0);
    this.body = body;
    this.status = {
      request_id: id,
      name: body.name ?? `job-${id.slice(0, 8)}`,
      status: "running",
      vm_id: "vm-0123456789ab",
      created_at: TIME,
      started_at: TIME,
      ...(body.workspace_id && { workspace_id: body.workspace_id }),
      persistent: body.persistent ?? false,
      no_sleep: body.no_sleep ?? false,
      no_sync: body.no_sync ?? false,
      ...(body.persistent && { idle_minutes: body.idle_minutes ?? 10 }),
      ...(body.startup_command && { startup_command: body.startup_command }),
      disk_gb: body.disk_gb ?? 2,
      vcpus: body.vcpus ?? 2,
      memory_mb: body.memory_mb ?? 1024,
      rootfs_type: body.rootfs_type ?? "standard",
      egress: body.egress ?? "filtered",
      labels: body.labels ?? {},
    };
  }

  get ended(): boolean {
    return this.status.status === "completed" || this.status.status === "error";
  }

  /** No more output comes. */
  get over(): boolean {
    return this.ended || this.status.exit_code !== undefined;
  }

  write(source: Piece["source"], data: string | Buffer): this {
    this.pieces.push({ source, bytes: typeof data === "string" ? Buffer.from(data) : data });
    this.emit("change");
    return this;
  }

  end(change: Partial<JobStatus>): void {
    if (this.ended) return;
    Object.assign(this.status, { status: "completed", completed_at: TIME }, change);
    delete this.status.vm_id;
    this.emit("change");
  }

  /** The VM of a persistent job stays. */
  exit(exitCode: number): void {
    const over = { exit_code: exitCode, script_duration_ms: 12 };
    if (!this.body.persistent) this.end(over);
    if (this.over) return;
    Object.assign(this.status, over);
    this.emit("change");
  }

  /** Entries so far; lines that are not finished only once its script is over. */
  entries(encoding: Encoding, from = 0, to?: number): LogEntry[] {
    if (encoding === "base64")
      return this.pieces.slice(from, to).map(({ source, bytes }) => entry(source, bytes.toString("base64")));
    const splitter = createLineSplitter();
    const lines = this.pieces.flatMap((piece, n) => splitter.push({ ...piece, index: n + 1, atMs: 0 }));
    if (this.over) lines.push(...splitter.end());
    return lines.slice(from, to).map(({ source, bytes }) => entry(source, bytes.toString("utf8")));
  }
}

function entry(source: LogEntry["source"], message: string): LogEntry {
  return { timestamp: TIME, level: source === "stdout" ? "info" : "error", message, source };
}

/** Plays a job by running its script on this machine, in a folder of it. */
export function runHere(job: ScriptedJob, folder = "."): void {
  const child = spawn("/bin/sh", ["-c", job.body.script], {
    cwd: folder,
    env: { PATH: process.env.PATH, ...job.body.environment },
    stdio: ["ignore", "pipe", "pipe"],
    detached: true,
  });
  child.stdout.on("data", (bytes: Buffer) => job.write("stdout", bytes));
  child.stderr.on("data", (bytes: Buffer) => job.write("stderr", bytes));
  child.on("close", (code, signal) =>
    job.stopped && !job.body.persistent ? job.end({}) : job.exit(code ?? (signal === "SIGKILL" ? 137 : 143)),
  );
  job.on("stop", () => {
    if (child.pid !== undefined && child.exitCode === null && child.signalCode === null)
      process.kill(-child.pid, "SIGTERM");
  });
}

/**
 * Does KVM work here? Opening /dev/kvm proves nothing: on nested hosts a guest may run 30 times slower than emulation
 * and then die. So a guest of a few bytes must print, count to two million, print again and leave within a bound
 * that lies far above what emulation needs (35 ms) and far below what such hosts need (950 ms).
 */
import { spawn } from "node:child_process";
import { access, chmod, constants, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { launchCommand, type RuntimeRoot } from "@mags/runtime-root";
import type { Accelerator } from "../qemu/command-line.ts";

export const PROBE_BOUND_MS = 300;
const PROBE_KILL_MS = 3_000;
const DEBUG_EXIT_CODE = 33;

export interface ProbeResult {
  readonly works: boolean;
  readonly reason: string;
}

export type ProbeRun =
  | { readonly kind: "no-device"; readonly message: string }
  | {
      readonly kind: "ran";
      readonly output: string;
      readonly exitCode: number | null;
      readonly signal: string | null;
      readonly elapsedMs: number;
      readonly stderr: string;
    };

/** Judges what a probe did. */
export function judgeProbe(run: ProbeRun): ProbeResult {
  if (run.kind === "no-device") return { works: false, reason: `/dev/kvm cannot be opened: ${run.message}` };
  const elapsed = Math.round(run.elapsedMs);
  if (run.output !== "KL" || run.exitCode !== DEBUG_EXIT_CODE) {
    const ended = run.exitCode === null ? `was ended by ${run.signal}` : `ended with code ${run.exitCode}`;
    const words = run.stderr.split("\n")[0];
    return { works: false, reason: `the KVM probe guest ${ended} before its end${words ? ` (${words})` : ""}` };
  }
  if (run.elapsedMs > PROBE_BOUND_MS)
    return {
      works: false,
      reason: `the KVM probe guest took ${elapsed} ms, more than ${PROBE_BOUND_MS} ms: this KVM emulates`,
    };
  return { works: true, reason: `the KVM probe guest ran in ${elapsed} ms` };
}

/** A 64 KiB firmware image: print K, count down from 2 000 000, print L, leave through isa-debug-exit. */
export function probeFirmware(): Buffer {
  const image = Buffer.alloc(65_536, 0x90);
  const code = [
    [0xfa], // cli
    [0xba, 0xf8, 0x03], // mov dx, 0x3f8: the serial port
    [0xb0, 0x4b, 0xee], // mov al, 'K'; out dx, al
    [0x66, 0xb9, 0x80, 0x84, 0x1e, 0x00], // mov ecx, 2000000
    [0x66, 0x49, 0x75, 0xfc], // dec ecx; jnz -4
    [0xb0, 0x4c, 0xee], // mov al, 'L'; out dx, al
    [0xba, 0xf4, 0x00, 0xb0, 0x10, 0xee], // mov dx, 0xf4; mov al, 16; out dx, al: exit code 16 * 2 + 1
    [0xf4, 0xeb, 0xfd], // hlt; jmp -3
  ].flat();
  image.set(code, 0);
  image.set([0xe9, 0x0d, 0x00], 0xfff0); // reset vector: jmp to offset 0 of the segment
  return image;
}

/** Runs the probe guest, with its firmware in `directory`. `accelerator` other than kvm is for comparison. */
export async function runProbe(
  { runtime, directory }: { readonly runtime: RuntimeRoot; readonly directory: string },
  uid: number,
  accelerator: Accelerator = "kvm",
): Promise<ProbeRun> {
  if (accelerator === "kvm") {
    try {
      await access("/dev/kvm", constants.R_OK | constants.W_OK);
    } catch (error) {
      return { kind: "no-device", message: (error as Error).message };
    }
  }
  await chmod(directory, 0o755);
  await writeFile(join(directory, "probe.bin"), probeFirmware(), { mode: 0o444 });
  const command = launchCommand(runtime, {
    program: "/usr/bin/qemu-system-x86_64",
    args: [
      "-machine",
      "pc",
      "-accel",
      accelerator,
      "-cpu",
      accelerator === "kvm" ? "host" : "max",
      "-m",
      "16",
      "-nodefaults",
      "-no-user-config",
      "-display",
      "none",
      "-bios",
      "/boot/probe.bin",
      "-serial",
      "stdio",
      "-device",
      "isa-debug-exit,iobase=0xf4,iosize=1",
      "-no-reboot",
    ],
    binds: [{ source: directory, target: "/boot", readOnly: true }],
    uid,
    gid: uid,
    env: {},
    kvm: accelerator === "kvm",
    // As a microVM's QEMU: a kernel that asks for more calls under KVM counts as one without it.
    systemCalls: "qemu",
  });
  return await new Promise<ProbeRun>((resolve, reject) => {
    const startedAt = performance.now();
    const child = spawn(command.file, [...command.args], { stdio: ["ignore", "pipe", "pipe"] });
    const timer = setTimeout(() => child.kill("SIGKILL"), PROBE_KILL_MS);
    let output = "";
    let stderr = "";
    child.stdout.on("data", (bytes: Buffer) => {
      output = (output + bytes.toString("latin1")).slice(0, 100);
    });
    child.stderr.on("data", (bytes: Buffer) => {
      stderr = (stderr + bytes.toString("utf8")).slice(0, 300);
    });
    child.on("error", reject);
    child.on("close", (exitCode, signal) => {
      clearTimeout(timer);
      resolve({
        kind: "ran",
        output,
        exitCode,
        signal,
        elapsedMs: performance.now() - startedAt,
        stderr: stderr.trim(),
      });
    });
  });
}

/** Which accelerator this node uses, and why. The probe's verdict is kept per kernel, processor and QEMU. */
import { readFile } from "node:fs/promises";
import { arch, cpus, release } from "node:os";
import { AppError, type Logger } from "@mags/core";
import { writeFileDurably } from "../host/files.ts";
import type { Accelerator } from "../qemu/command-line.ts";
import type { ProbeResult } from "./probe.ts";

export interface AcceleratorChoice {
  readonly accelerator: Accelerator;
  readonly reason: string;
}

export interface AcceleratorStore {
  choose(): Promise<AcceleratorChoice>;
  /** KVM passed the probe but could not boot a template: use emulation until kernel, processor or QEMU change. */
  rejectKvm(reason: string): Promise<AcceleratorChoice>;
}

interface Verdict {
  readonly key: string;
  readonly works: boolean;
  readonly reason: string;
}

export function createAcceleratorStore(
  path: string,
  deps: { readonly probe: () => Promise<ProbeResult>; readonly log: Logger },
  options: { readonly configured: "auto" | Accelerator; readonly runtimeDigest: string },
): AcceleratorStore {
  const key = [release(), arch(), cpus()[0]?.model ?? "unknown", options.runtimeDigest].join("|");
  const fromVerdict = (verdict: { works: boolean; reason: string }): AcceleratorChoice => ({
    accelerator: verdict.works ? "kvm" : "tcg",
    reason: verdict.reason,
  });

  async function kept(): Promise<Verdict | undefined> {
    const text = await readFile(path, "utf8").catch(() => "");
    if (!text) return undefined;
    const verdict = JSON.parse(text) as Verdict;
    return verdict.key === key ? verdict : undefined;
  }

  async function keep(verdict: Verdict): Promise<AcceleratorChoice> {
    await writeFileDurably(path, `${JSON.stringify(verdict)}\n`);
    deps.log.info("accelerator.chosen", { ...fromVerdict(verdict) });
    return fromVerdict(verdict);
  }

  return {
    async choose() {
      if (options.configured === "tcg") return { accelerator: "tcg", reason: "set by the configuration" };
      if (options.configured === "kvm") {
        const { works, reason } = await deps.probe();
        if (works) return { accelerator: "kvm", reason: "set by the configuration" };
        throw new AppError("unavailable", `node.accelerator is "kvm", but KVM does not work here: ${reason}`);
      }
      const verdict = (await kept()) ?? { key, ...(await deps.probe()) };
      return keep(verdict);
    },
    rejectKvm: (reason) => keep({ key, works: false, reason }),
  };
}

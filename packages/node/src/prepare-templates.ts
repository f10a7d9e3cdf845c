import { join } from "node:path";
import { type Clock, type Logger, messageOf } from "@mags/core";
import type { MicroVmSize } from "@mags/domain";
import { type AcceleratorChoice, createAcceleratorStore } from "./accelerator/choose.ts";
import { judgeProbe, runProbe } from "./accelerator/probe.ts";
import { DEFAULT_DISK_GIB } from "./disks/overlay-store.ts";
import type { WorkDirectories } from "./host/work-directories.ts";
import type { Artifacts } from "./images/artifacts.ts";
import { DEFAULT_IMAGE, type Image } from "./images/image.ts";
import type { MicroVmHost } from "./microvm/microvm-host.ts";
import type { NodeOptions } from "./node.ts";
import type { Accelerator } from "./qemu/command-line.ts";
import { createTemplateStore, type TemplateStore } from "./templates/template-store.ts";

const BOOT_DEADLINE_MS = { kvm: 10_000, tcg: 120_000 } as const;

export interface PreparedTemplates {
  readonly accelerator: Accelerator;
  readonly reason: string;
  readonly templates: TemplateStore;
  readonly pooledSize: MicroVmSize;
}

/**
 * Chooses the accelerator and builds the pooled template with it. The probe passes on hosts whose KVM cannot boot a real
 * guest, so the template's boot is the second half of the test.
 * @throws the signal's reason, when nothing is left of what was begun.
 */
export async function prepareTemplates(
  deps: {
    readonly clock: Clock;
    readonly log: Logger;
    readonly host: MicroVmHost;
    readonly work: WorkDirectories;
    readonly artifacts: Artifacts;
  },
  { config, dataDirectory }: NodeOptions,
  { image, signal }: { readonly image: (name: string) => Image; readonly signal: AbortSignal },
): Promise<PreparedTemplates> {
  const { artifacts, log } = deps;
  const probe = async () => {
    await using directory = await deps.work.create("probe");
    return judgeProbe(await runProbe({ runtime: artifacts.runtime, directory: directory.path }, config.uid_base));
  };
  const accelerators = createAcceleratorStore(
    join(dataDirectory, "accelerator.json"),
    { probe, log },
    { configured: config.accelerator, runtimeDigest: artifacts.runtimeDigest },
  );

  async function prepare({ accelerator, reason }: AcceleratorChoice): Promise<PreparedTemplates> {
    const pooledSize: MicroVmSize = {
      image: DEFAULT_IMAGE,
      vcpus: config.default_vcpus || (accelerator === "kvm" ? 2 : 1),
      memoryMiB: config.default_memory_mb,
      diskGiB: DEFAULT_DISK_GIB,
      egress: "filtered",
    };
    const templates = createTemplateStore(deps, {
      root: join(dataDirectory, "templates"),
      accelerator,
      operator: {
        caCertificates: config.guest.ca_certificates,
        environment: config.guest.environment,
        files: config.guest.files,
      },
      keep: config.templates_kept,
      bootDeadlineMs: BOOT_DEADLINE_MS[accelerator],
    });
    await templates.get(image(DEFAULT_IMAGE), pooledSize, { signal });
    return { accelerator, reason, templates, pooledSize };
  }

  const choice = await accelerators.choose();
  if (choice.accelerator === "tcg" || config.accelerator === "kvm") return prepare(choice);
  try {
    return await prepare(choice);
  } catch (error) {
    signal.throwIfAborted();
    return prepare(
      await accelerators.rejectKvm(`${choice.reason}, but a real guest did not boot under KVM: ${messageOf(error)}`),
    );
  }
}

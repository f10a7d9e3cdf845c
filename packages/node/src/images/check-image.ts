/** Runs an image for the first time, the way jobs will: template, clone, disk, script. */
import { AppError, untilAborted } from "@mags/core";
import type { MicroVmSize } from "@mags/domain";
import { connectGuest, giveIdentity } from "../microvm/guest.ts";
import { type CloneDeps, insertEmptyDisk, restoreClone } from "../pool/clone.ts";
import type { TemplateStore } from "../templates/template-store.ts";
import type { Image, Tools } from "./image.ts";

/** What scripts find in the standard image. */
const PROGRAMS = [
  ...["bash", "curl", "wget", "git", "python3", "pip", "node", "npm", "vim", "nano", "less", "ssh", "rsync", "ps"],
  ...["tmux", "tar", "xz", "unzip"],
];
/** As tests of a shell, because they stand in other places in other systems. */
const OTHERS: Readonly<Record<string, string>> = {
  "sftp-server": "[ -x /usr/lib/openssh/sftp-server ] || [ -x /usr/lib/ssh/sftp-server ]",
  tzdata: "[ -d /usr/share/zoneinfo ]",
};
const CHECK_TIMEOUT_MS = 60_000;

export interface CheckDeps extends CloneDeps {
  readonly templates: TemplateStore;
  /** In what size it is tried; the template of that is kept for the first job. */
  readonly size: MicroVmSize;
}

/**
 * @throws AppError when it does not boot or runs no script; the message has the end of the guest's console. The signal's
 * reason, when the microVM is gone.
 */
export async function checkImage(
  deps: CheckDeps,
  image: Image,
  options: { readonly signal?: AbortSignal } = {},
): Promise<Tools> {
  const { signal } = options;
  const template = await deps.templates.get(image, deps.size, options);
  signal?.throwIfAborted();
  const microVm = await restoreClone(deps, template, { idlePriority: false, diskGiB: deps.size.diskGiB });
  const gone = signal ? AbortSignal.any([microVm.gone, signal]) : microVm.gone;
  try {
    const sizeBytes = await insertEmptyDisk(deps, microVm, { diskGiB: deps.size.diskGiB, neverRan: true });
    await microVm.machine.resume();
    const agent = await untilAborted(connectGuest(microVm, deps), gone);
    await agent.attachDisk({ upper: "ext4", sizeBytes });
    await giveIdentity(agent, deps);
    const command = agent.run({ script: toolsScript(), timeoutMs: CHECK_TIMEOUT_MS });
    const { exitCode, stdout, stderr } = await untilAborted(command, gone);
    if (exitCode !== 0)
      throw new AppError("guest_failed", `its /bin/sh ended with ${exitCode}: ${stderr.toString("utf8").slice(-500)}`);
    const answered = new Set(stdout.toString("utf8").split("\n"));
    const all = [...PROGRAMS, ...Object.keys(OTHERS)];
    return { found: all.filter((tool) => answered.has(tool)), missing: all.filter((tool) => !answered.has(tool)) };
  } finally {
    await deps.host.release(microVm);
  }
}

function toolsScript(): string {
  const programs = `for p in ${PROGRAMS.join(" ")}; do command -v $p >/dev/null 2>&1 && echo $p; done`;
  const others = Object.entries(OTHERS).map(([name, test]) => `if ${test}; then echo ${name}; fi`);
  return [programs, ...others, "exit 0"].join("\n");
}

/** Connects to the QEMU of a microVM and watches over it. */
import { AppError, messageOf, type ProcessIdentity, sleep, withDeadline } from "@mags/core";
import { createMachine, type Machine } from "../qemu/machine.ts";
import { openQmp } from "../qemu/qmp.ts";
import type { QemuEnd, SpawnedQemu } from "../qemu/spawn.ts";
import type { MicroVm } from "./microvm-host.ts";
import type { MicroVmPaths } from "./record.ts";

const QMP_DEADLINE_MS = 20_000;
/** The end of a process is noticed a moment after that of its connections. */
const END_PATIENCE_MS = 250;

/** How it ended, if it has, or does within a moment. Nothing for one that another process started. */
export async function endSoon(qemu: SpawnedQemu | undefined): Promise<QemuEnd | undefined> {
  return qemu && (await Promise.race([qemu.ended, sleep(END_PATIENCE_MS).then(() => undefined)]));
}

/** @throws AppError when QEMU does not answer. */
export async function connectMicroVm(
  identity: Pick<MicroVm, "id" | "index" | "templateKey" | "uid">,
  /** `qemu`: given when this process started it. */
  place: { readonly paths: MicroVmPaths; readonly process: ProcessIdentity; readonly qemu?: SpawnedQemu },
  options: { readonly onQemuEnd: (end: QemuEnd) => void },
): Promise<MicroVm> {
  const { paths, process, qemu } = place;
  const ended = new AbortController();
  void qemu?.ended.then(() => ended.abort(new AppError("internal", "QEMU has ended")));
  const deadline = AbortSignal.timeout(QMP_DEADLINE_MS);
  const qmp = await openQmp(paths.qmpSocket, { signal: AbortSignal.any([ended.signal, deadline]) }).catch((cause) => {
    if (!deadline.aborted) throw cause;
    throw new AppError("internal", `QEMU did not answer within ${QMP_DEADLINE_MS / 1000} s`, { cause });
  });
  const machine = createMachine(qmp);
  const lost = Promise.withResolvers<string>();
  machine.onGuestEnd(async (end) => lost.resolve(await explainGuestEnd(machine, end)));
  void qmp.closed.then(async (fault) => {
    if (fault !== null) lost.resolve(`its QEMU broke the machine protocol: it ${fault}`);
    const end = await endSoon(qemu);
    if (end) options.onQemuEnd(end);
    lost.resolve(`its QEMU process ended unexpectedly${end ? `: it ${end.how}` : ""}`);
  });
  const gone = new AbortController();
  void lost.promise.then((reason) => gone.abort(new AppError("microvm_lost", `the VM was lost: ${reason}`)));
  return {
    ...identity,
    paths,
    machine,
    process,
    lost: lost.promise,
    gone: gone.signal,
    declareLost: lost.resolve,
  };
}

async function explainGuestEnd(machine: Machine, end: string): Promise<string> {
  if (end !== "panicked" && end !== "rebooted") return `the guest ${end}`;
  const console = await withDeadline(machine.consoleTail(), 1_000, () => new Error("no console")).catch(messageOf);
  const cause = /Kernel panic - not syncing: (.{1,300})/.exec(console)?.[1]?.trim();
  // The agent is the guest's first process, whose end the kernel does not survive.
  const lastWords =
    cause?.startsWith("Attempted to kill init") && [...console.matchAll(/mags-agent: (.{1,300})/g)].at(-1);
  if (lastWords) return `the guest's agent ended: ${lastWords[1]?.trim()}`;
  // A panic is seen as a restart where the guest has no device any more to tell of it.
  if (cause || end === "panicked") return `the guest's kernel panicked${cause ? `: ${cause}` : ""}`;
  return `the guest ${end}`;
}

/** Sees that the guest of a sandbox stands still in the middle of a write, tells of it, and knows why. */
import { HOST_DISK_FULL, type Shortage, shortageOf } from "../jobs/shortage.ts";
import type { MicroVm } from "../microvm/microvm-host.ts";
import type { SandboxDeps } from "./sandbox-deps.ts";
import type { SandboxLife } from "./sandbox-life.ts";

export interface RoomWatch {
  /** What the guest waits for, for people, as of the last look; null: for nothing. */
  readonly waitsFor: string | null;
  /** The sandbox has this microVM now. */
  begin(microVm: MicroVm): void;
  tick(): void;
}

export function createRoomWatch(
  { guests }: Pick<SandboxDeps, "guests">,
  life: Pick<SandboxLife, "awake" | "kept" | "tell">,
): RoomWatch {
  let waitsFor: string | null = null;

  /** What stands on no version needs no object store. */
  async function shortage({ paths }: MicroVm): Promise<Shortage> {
    return life.kept.now.base === null ? HOST_DISK_FULL : await shortageOf(paths.jail);
  }

  async function look(microVm: MicroVm): Promise<void> {
    const { data } = await shortage(microVm);
    if (isStuck(microVm)) waitsFor = data.message;
  }

  const isStuck = (microVm: MicroVm) => life.awake?.microVm === microVm && microVm.machine.stuck.aborted;

  return {
    get waitsFor() {
      return waitsFor;
    },
    begin(microVm) {
      microVm.machine.onDiskFull(() => {
        // The microVM may have gone meanwhile.
        shortage(microVm).then(
          ({ name, data }) => {
            life.tell(name, data);
            guests.told(life.kept.now.id, data.message);
          },
          () => {},
        );
      });
    },
    tick() {
      const microVm = life.awake?.microVm;
      if (microVm && isStuck(microVm))
        void look(microVm).catch(() => {}); // the microVM has gone meanwhile
      else waitsFor = null;
    },
  };
}

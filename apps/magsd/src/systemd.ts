/**
 * The server as a unit of systemd, where that runs and `./quickstart` has installed it: started at boot, and again after a
 * crash. Elsewhere `magsd start` starts it by itself.
 */
import { execFile } from "node:child_process";
import { existsSync } from "node:fs";
import { rm } from "node:fs/promises";
import { join } from "node:path";
import { promisify } from "node:util";
import { AppError, messageOf } from "@mags/core";

export interface ServerUnit {
  start(): Promise<void>;
  /** Also ends attempts to start it again. A unit that does not run is no error. */
  stop(): Promise<void>;
  /** For people: how a process of it ended since `start`; undefined while its first one runs or begins. */
  ended(): Promise<string | undefined>;
  /** Takes the units off this machine. They must be stopped. */
  remove(): Promise<void>;
}

/** Where systemd has its things. */
export interface SystemdPlace {
  /** Exists where systemd runs: sd_booted(3). */
  readonly booted: string;
  readonly units: string;
  readonly systemctl: string;
}

const HOST: SystemdPlace = { booted: "/run/systemd/system", units: "/etc/systemd/system", systemctl: "systemctl" };
const SERVER = "magsd.service";
const GROUPS = "mags-vms.service";
/** Longer than the unit's own patience. */
const SYSTEMCTL_MS = 120_000;

/** Nothing where systemd does not run, or has no unit for the server. */
export function serverUnit(place: SystemdPlace = HOST): ServerUnit | undefined {
  if (!existsSync(place.booted) || !existsSync(join(place.units, SERVER))) return undefined;

  async function systemctl(...args: readonly string[]): Promise<string> {
    try {
      const { stdout } = await promisify(execFile)(place.systemctl, args, { timeout: SYSTEMCTL_MS });
      return stdout;
    } catch (cause) {
      const { stderr = "" } = cause as { readonly stderr?: string };
      throw new AppError("unavailable", `systemctl ${args.join(" ")} failed: ${stderr.trim() || messageOf(cause)}`, {
        cause,
      });
    }
  }

  return {
    async start() {
      await systemctl("start", SERVER);
    },
    async stop() {
      await systemctl("stop", SERVER);
    },
    async ended() {
      const shown = await systemctl("show", "--property=ActiveState,SubState,Result,ExecMainStatus,NRestarts", SERVER);
      const {
        ActiveState,
        SubState,
        Result,
        ExecMainStatus,
        NRestarts = "0",
      } = Object.fromEntries(shown.split("\n").map((line) => [line.split("=")[0] ?? "", line.split("=")[1] ?? ""]));
      const runs = ActiveState === "active" || (ActiveState === "activating" && SubState !== "auto-restart");
      return runs && NRestarts === "0" ? undefined : `systemd says: ${Result}, status ${ExecMainStatus}`;
    },
    async remove() {
      await systemctl("disable", SERVER);
      await systemctl("stop", GROUPS);
      for (const unit of [SERVER, GROUPS]) await rm(join(place.units, unit), { force: true });
      await systemctl("daemon-reload");
    },
  };
}

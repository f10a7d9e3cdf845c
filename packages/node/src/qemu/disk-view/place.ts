import { rm, truncate } from "node:fs/promises";
import { join } from "node:path";
import { makeFileFor } from "../../microvm/jail-directory.ts";
import type { MicroVm } from "../../microvm/microvm-host.ts";
import { JAIL } from "../command-line.ts";

/** Where the files of a view lie. Whatever a server that was killed has left of them is replaced. */
export interface ViewPlace {
  /** Where QEMU listens; root alone may connect. */
  readonly socket: string;
  /** Holds what the guest overwrites: the path on the host, and the one by which QEMU opens it. */
  readonly scratch: { readonly host: string; readonly jail: string };
  /** Whom the scratch file belongs to. */
  readonly uid: number;
}

export function viewPlaceOf({ paths, uid }: Pick<MicroVm, "paths" | "uid">): ViewPlace {
  const name = "view";
  return {
    socket: join(paths.directory, "view.sock"),
    scratch: { host: join(paths.jail, name), jail: `${JAIL.vm}/${name}` },
    uid,
  };
}

/** Takes no room until the guest overwrites something. */
export async function makeScratch({ scratch, uid }: ViewPlace, sizeBytes: number): Promise<void> {
  await makeFileFor(uid, scratch.host);
  await truncate(scratch.host, sizeBytes);
}

export async function removeViewFiles({ socket, scratch }: ViewPlace): Promise<void> {
  await rm(socket, { force: true });
  await rm(scratch.host, { force: true });
}

/**
 * The key of a session and the host key to expect, as files for ssh: in a folder of their own that only this user may
 * enter. Its name tells the process that owns it, so that what a killed one left is removed by the next.
 */
import { lstatSync, readdirSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { isAbsolute, join } from "node:path";
import type { Environment } from "../../sdk/settings.ts";
import type { SshAccess } from "../../sdk/wire.generated.ts";
import { makeTemporaryFolder } from "../temporary-folder.ts";

export interface KeyFolder extends Disposable {
  readonly keyFile: string;
  readonly knownHostsFile: string;
}

const PREFIX = "mags-ssh-";
const OWNED = /^mags-ssh-(\d+)-/;
/** Whatever address the gateway is reached at. */
export const HOST_KEY_ALIAS = "mags";

/** Nothing in it waits, so that no signal comes between the folder and who removes it. */
export function openKeyFolder(env: Environment, access: SshAccess): KeyFolder {
  const places = placesOf(env);
  for (const place of places) removeLeftovers(place);
  const folder = makeTemporaryFolder(`${PREFIX}${process.pid}-`, places);
  const remove = () => rmSync(folder, { recursive: true, force: true });
  const [keyFile, knownHostsFile] = [join(folder, "key"), join(folder, "known_hosts")];
  try {
    const key = access.ssh_private_key;
    writeFileSync(keyFile, key.endsWith("\n") ? key : `${key}\n`, { mode: 0o600, flag: "wx" });
    writeFileSync(knownHostsFile, `${HOST_KEY_ALIAS} ${access.ssh_host_key}\n`, { mode: 0o600, flag: "wx" });
  } catch (error) {
    remove();
    throw error;
  }
  return { keyFile, knownHostsFile, [Symbol.dispose]: remove };
}

/** In memory where there is a folder of this user's for that. */
function placesOf({ XDG_RUNTIME_DIR: runtime }: Environment): string[] {
  const temporary = tmpdir();
  return runtime !== undefined && isAbsolute(runtime) && isFolder(runtime) ? [runtime, temporary] : [temporary];
}

function removeLeftovers(place: string): void {
  for (const name of namesIn(place)) {
    const owner = OWNED.exec(name)?.[1];
    const path = join(place, name);
    if (owner !== undefined && !lives(Number(owner)) && isFolder(path)) rmSync(path, { recursive: true, force: true });
  }
}

/** On some systems nobody may list the folder for temporary files; where there is none, whoever makes one there tells. */
function namesIn(place: string): string[] {
  try {
    return readdirSync(place);
  } catch (error) {
    if (["EACCES", "ENOENT", "ENOTDIR"].includes((error as NodeJS.ErrnoException).code ?? "")) return [];
    throw error;
  }
}

/** A folder of this user, itself and not by a link. */
function isFolder(path: string): boolean {
  const found = lstatSync(path, { throwIfNoEntry: false });
  return found?.isDirectory() === true && found.uid === process.getuid?.();
}

/** A process that may not be asked is another user's: the number was given anew. */
function lives(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

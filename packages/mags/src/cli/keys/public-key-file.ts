/** Which key of this machine is meant. What is a private key is never taken for one that may be sent. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { codeOf } from "../../sdk/network-error.ts";
import { Failure } from "../failure.ts";

const DEFAULTS = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];

export interface PublicKeyFile {
  readonly path: string;
  /** Its line. */
  readonly line: string;
}

/** @param given  As the user names it; undefined: the first usual one in the folder `.ssh` of his home. */
export function readPublicKeyFile(home: string, given: string | undefined): PublicKeyFile {
  const path = given ?? findDefault(join(home, ".ssh"));
  const line = read(path);
  if (/PRIVATE KEY/.test(line))
    throw new Failure(`${path} is a private key, which is to stay where it is`, `Name the public one: ${path}.pub`);
  return { path, line };
}

function findDefault(folder: string): string {
  const found = DEFAULTS.map((name) => join(folder, name)).find((path) => existsSync(path));
  if (found === undefined)
    throw new Failure(
      `there is no key in ${folder}: ${DEFAULTS.join(", ")} are looked for`,
      "Make one with: ssh-keygen -t ed25519\nAnother place: mags key add FILE.pub",
    );
  return found;
}

function read(path: string): string {
  try {
    return readFileSync(path, "utf8");
  } catch (error) {
    const reason = codeOf(error) === "ENOENT" ? "there is no such file" : (error as Error).message;
    throw new Failure(`cannot read ${path}: ${reason}`);
  }
}

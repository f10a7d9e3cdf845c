/** Which key of this machine is meant. What is not a line of a public key is never sent, nor shown. */
import { existsSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { codeOf } from "../../sdk/network-error.ts";
import { Failure } from "../failure.ts";

const DEFAULTS = ["id_ed25519.pub", "id_ecdsa.pub", "id_rsa.pub"];

export interface PublicKeyFile {
  readonly path: string;
  /** Its line, without the end. */
  readonly line: string;
}

/** Type, key, and what is behind it: the server knows which types it takes. */
const PUBLIC_KEY = /^[a-z0-9][a-z0-9@.-]* AAAA[A-Za-z0-9+/]+={0,2}( [^\r\n]*)?$/;

/** @param given  As the user names it; undefined: the first usual one in the folder `.ssh` of his home. */
export function readPublicKeyFile(home: string, given: string | undefined): PublicKeyFile {
  const path = given ?? findDefault(join(home, ".ssh"));
  const text = read(path);
  if (/PRIVATE KEY/.test(text))
    throw new Failure(`${path} is a private key, which is to stay where it is`, `Name the public one: ${path}.pub`);
  const line = text.trim();
  if (!PUBLIC_KEY.test(line))
    throw new Failure(
      `${path} is not sent: it is not one line with a public key of OpenSSH`,
      "Such a file is made by: ssh-keygen -t ed25519\nIts name ends in .pub, and its line begins with ssh-ed25519, ecdsa-sha2-… or ssh-rsa.",
    );
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

import { execFileSync } from "node:child_process";
import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { type ApiClient, makeTempDir } from "@mags/test-kit";

export interface TestSshKey extends AsyncDisposable {
  /** As in its `.pub` file. */
  readonly line: string;
  readonly fingerprint: string;
  /** What `ssh-keygen -Y sign` makes of a text. */
  sign(text: string): string;
}

/** A key as a user has it, made by ssh-keygen. */
export async function makeSshKey(options: { readonly comment?: string } = {}): Promise<TestSshKey> {
  const folder = await makeTempDir();
  const file = join(folder.path, "key");
  keygen(["-q", "-t", "ed25519", "-N", "", "-C", options.comment ?? "me@here", "-f", file]);
  const [, fingerprint = ""] = keygen(["-l", "-f", file]).split(" ");
  return {
    line: await readFile(`${file}.pub`, "utf8"),
    fingerprint,
    sign: (text) => keygen(["-Y", "sign", "-q", "-n", "mags-key", "-f", file], text),
    [Symbol.asyncDispose]: () => folder[Symbol.asyncDispose](),
  };
}

function keygen(args: readonly string[], input?: string): string {
  return execFileSync("ssh-keygen", args, { encoding: "utf8", ...(input !== undefined && { input }) });
}

/** @returns the reply to the last of the requests that it takes. */
export async function addSshKey(client: ApiClient, key: TestSshKey, options: { readonly name?: string } = {}) {
  const challenge = await challengeFor(client, key);
  const body = { ...options, public_key: key.line, challenge, signature: key.sign(challenge) };
  return client.call("POST", "/api/v1/ssh-keys", body);
}

export async function challengeFor(client: ApiClient, key: TestSshKey): Promise<string> {
  const reply = await client.call("POST", "/api/v1/ssh-keys/challenge", { public_key: key.line });
  return (reply.body as { challenge: string }).challenge;
}

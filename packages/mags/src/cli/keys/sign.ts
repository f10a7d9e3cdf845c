/** Signs with a key of the user, by ssh-keygen: it knows agents, and asks for passphrases. */
import { spawn } from "node:child_process";
import { readFileSync, rmSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import type { Cli } from "../cli.ts";
import { Failure } from "../failure.ts";
import { makeTemporaryFolder } from "../temporary-folder.ts";

/** What the signature is for; the server takes none of another kind. */
const NAMESPACE = "mags-key";
const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * @param publicKeyFile  Beside it lies the private key, or the agent has that.
 * @returns the signature, armored.
 */
export async function sign(cli: Cli, publicKeyFile: string, text: string): Promise<string> {
  let tell: (signal: NodeJS.Signals) => void = () => {};
  const listeners = SIGNALS.map((signal) => {
    const listener = () => tell(signal);
    cli.signals.on(signal, listener);
    return () => cli.signals.off(signal, listener);
  });
  // A file, as ssh-keygen asks for passphrases only where its input is the terminal. It holds nothing secret.
  const folder = makeTemporaryFolder("mags-sign-");
  try {
    const file = join(folder, "challenge");
    writeFileSync(file, text, { flag: "wx" });
    await run(cli, ["-Y", "sign", "-n", NAMESPACE, "-f", publicKeyFile, file], {
      whenStarted: (end) => {
        tell = end;
      },
      publicKeyFile,
    });
    return readFileSync(`${file}.sig`, "utf8");
  } finally {
    rmSync(folder, { recursive: true, force: true });
    for (const off of listeners) off();
  }
}

interface Running {
  readonly whenStarted: (end: (signal: NodeJS.Signals) => void) => void;
  readonly publicKeyFile: string;
}

async function run(cli: Cli, args: readonly string[], { whenStarted, publicKeyFile }: Running): Promise<void> {
  const child = spawn("ssh-keygen", args, { stdio: ["inherit", "ignore", "pipe"], env: cli.env });
  whenStarted((signal) => void child.kill(signal));
  const errors: Buffer[] = [];
  child.stderr.on("data", (chunk) => errors.push(chunk));
  const code = await new Promise<number | null>((resolve, reject) => {
    child.on("error", (error: NodeJS.ErrnoException) => reject(error.code === "ENOENT" ? noProgram() : error));
    child.on("close", resolve);
  });
  if (code === 0) return;
  const lines = Buffer.concat(errors).toString().trim().split(/\r?\n/);
  throw new Failure(
    `ssh-keygen did not sign with ${publicKeyFile}: ${lines.at(-1) || "it was ended"}`,
    "The private key must lie beside the public one, or be in your ssh-agent: ssh-add FILE",
  );
}

function noProgram(): Failure {
  return new Failure(
    "ssh-keygen is needed to show that the key is yours, and is not on this machine",
    "It comes with OpenSSH, in packages such as openssh-client.",
  );
}

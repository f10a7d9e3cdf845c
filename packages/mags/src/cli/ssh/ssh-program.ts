/** The system's ssh, on this process's input, output and terminal. */
import { spawn } from "node:child_process";
import { constants } from "node:os";
import { isatty } from "node:tty";
import type { SshAccess } from "../../sdk/wire.generated.ts";
import type { Cli } from "../cli.ts";
import { Failure } from "../failure.ts";
import { checkName, checkServer } from "./check-server.ts";
import { HOST_KEY_ALIAS, type KeyFolder, openKeyFolder } from "./key-folder.ts";
import type { SshWords } from "./words.ts";

const SIGNALS = ["SIGINT", "SIGTERM", "SIGHUP"] as const;

/**
 * Runs it to its end; the key is gone then. Signals go on to it.
 * @returns its exit code; 128 and the number of the signal that ended it.
 */
export async function runSsh(cli: Cli, access: SshAccess, words: SshWords): Promise<number> {
  const { ssh_host: host, ssh_port: port, ssh_host_key: hostKey, ssh_host_fingerprint: fingerprint } = access;
  checkServer({ host, port, hostKey, fingerprint });
  checkName(access.ssh_user);
  let tell: (signal: NodeJS.Signals) => void = () => {};
  const listeners = SIGNALS.map((signal) => {
    const listener = () => tell(signal);
    cli.signals.on(signal, listener);
    return () => cli.signals.off(signal, listener);
  });
  try {
    using folder = openKeyFolder(cli.env, access);
    const child = spawn("ssh", sshArguments(access, folder, { ...words, terminal: hasTerminal(cli) }), {
      stdio: "inherit",
      env: cli.env,
    });
    tell = (signal) => void child.kill(signal);
    return await new Promise<number>((resolve, reject) => {
      child.on("error", (error: NodeJS.ErrnoException) =>
        reject(error.code === "ENOENT" ? noProgram(words.name) : error),
      );
      child.on("close", (code, signal) => resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])));
    });
  } finally {
    for (const off of listeners) off();
  }
}

function sshArguments(
  access: SshAccess,
  { keyFile, knownHostsFile }: KeyFolder,
  { options, name, command, terminal }: SshWords & { readonly terminal: boolean },
): string[] {
  // Of ssh's options the first that is given holds.
  const ours = [
    ["HostName", access.ssh_host],
    ["Port", String(access.ssh_port)],
    ["User", access.ssh_user],
    ["IdentityFile", quoted(keyFile)],
    ["IdentitiesOnly", "yes"],
    ["BatchMode", "yes"],
    ["HostKeyAlias", HOST_KEY_ALIAS],
    ["UserKnownHostsFile", quoted(knownHostsFile)],
    ["GlobalKnownHostsFile", "/dev/null"],
    ["StrictHostKeyChecking", "yes"],
    ["UpdateHostKeys", "no"],
  ] as const;
  const defaults = [
    ["ServerAliveInterval", "30"],
    ["ControlPath", "none"],
    ["LogLevel", "ERROR"],
  ] as const;
  const asOptions = (entries: typeof ours | typeof defaults) =>
    entries.flatMap(([key, value]) => ["-o", `${key}=${value}`]);
  return [
    ...["-F", "none", ...asOptions(ours), ...(terminal ? ["-t"] : [])],
    ...[...options, ...asOptions(defaults), "--", name, ...command],
  ];
}

/** As ssh reads paths in options. */
const quoted = (path: string) => `"${path.replaceAll("%", "%%")}"`;

const hasTerminal = (cli: Cli) => isatty(0) && cli.stdout.isTerminal;

function noProgram(name: string): Failure {
  return new Failure(
    "there is no ssh program on the PATH",
    `Install OpenSSH's client (Debian, Ubuntu: apt install openssh-client).\nA terminal without it: mags exec -t ${name} bash`,
  );
}

/** Entries of an ssh configuration by which ssh, and what reads its configuration, reaches sandboxes by name. */

export interface SshEntry {
  /** Of a job or workspace. */
  readonly name: string;
  readonly hostName: string;
  readonly port: number;
  /** Null: ssh tries the keys of the agent and its usual files. */
  readonly identityFile: string | null;
  readonly knownHostsFile: string;
  /** Of the host key, for people. */
  readonly fingerprint: string;
}

const HEADER = "# Kept by mags ssh-config --write; mags ssh-config --remove takes it away.\n";
const FIRST_LINE = /^Host (mags-\S+)$/;

/** What is written in place of a host: `ssh mags-NAME`. */
export const aliasOf = (name: string) => `mags-${name}`;

/** Each entry stands alone: nothing else of a configuration is needed for it. */
export function writeEntry({ name, hostName, port, identityFile, knownHostsFile, fingerprint }: SshEntry): string {
  const lines = [
    `# Host key: ${fingerprint}`,
    `HostName ${hostName}`,
    `Port ${port}`,
    `User ${name}`,
    ...(identityFile === null ? [] : [`IdentityFile ${configPath(identityFile)}`, "IdentitiesOnly yes"]),
    `UserKnownHostsFile ${configPath(knownHostsFile)}`,
    "StrictHostKeyChecking yes",
    "ServerAliveInterval 30",
  ];
  return [`Host ${aliasOf(name)}`, ...lines.map((line) => `  ${line}`), ""].join("\n");
}

/** Entries by alias, as {@link writeFile} wrote them. */
export function readFile(text: string): Map<string, string> {
  const entries = new Map<string, string>();
  let alias: string | undefined;
  for (const line of text.split("\n")) {
    alias = FIRST_LINE.exec(line)?.[1] ?? alias;
    if (alias !== undefined && line.trim() !== "") entries.set(alias, `${entries.get(alias) ?? ""}${line}\n`);
  }
  return entries;
}

export function writeFile(entries: ReadonlyMap<string, string>): string {
  return [HEADER, ...[...entries].sort(([a], [b]) => (a < b ? -1 : 1)).map(([, entry]) => entry)].join("\n");
}

/** A path as ssh reads it in a configuration. */
export function configPath(path: string): string {
  const escaped = path.replaceAll("%", "%%");
  return /^[\w./~%+,:@-]+$/.test(escaped) ? escaped : `"${escaped}"`;
}

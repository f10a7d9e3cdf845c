/** The files of `mags ssh-config`, in the user's folder of ssh. */
import {
  chmodSync,
  chownSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  realpathSync,
  renameSync,
  rmdirSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs";
import { userInfo } from "node:os";
import { dirname, join } from "node:path";
import { readFile, writeFile } from "./entries.ts";
import { withInclude, withoutInclude } from "./include.ts";
import { withHostKey } from "./known-hosts.ts";

export interface SshConfigFiles {
  /** As ssh may be told it: with `~` where that is the same. */
  readonly knownHostsFile: string;
  readonly configFile: string;
  keepHostKey(key: { readonly host: string; readonly port: number; readonly hostKey: string }): void;
  /** Adds entries, or puts them in place of those of the same alias; the user's configuration takes them in. */
  keep(entries: ReadonlyMap<string, string>): void;
  /** Takes entries away; without aliases all that was ever kept, and nothing else. @returns whether there was something. */
  remove(aliases: readonly string[]): boolean;
}

export function createSshConfigFiles(home: string): SshConfigFiles {
  const folder = join(home, ".ssh", "mags");
  const [config, knownHosts, usersConfig] = [
    join(folder, "config"),
    join(folder, "known_hosts"),
    join(home, ".ssh", "config"),
  ];
  const copy = `${usersConfig}.before-mags`;
  /** ssh takes `~` for the home of the user's account, whatever `HOME` says. */
  const shown = (path: string) => (accountsHome() === home ? path.replace(home, "~") : path);

  function include(): void {
    const before = read(usersConfig);
    const after = withInclude(before, shown(config));
    if (after === before) return;
    if (before !== "") replace(copy, before, modeOf(usersConfig));
    replace(usersConfig, after, modeOf(usersConfig));
  }

  /** The copy goes, too, where it is what is left. */
  function exclude(): void {
    const before = read(usersConfig);
    const after = withoutInclude(before, shown(config));
    if (after === before) return;
    if (after === "" && !lstatSync(usersConfig).isSymbolicLink()) rmSync(usersConfig);
    else replace(usersConfig, after, modeOf(usersConfig));
    if (read(copy) === after) rmSync(copy, { force: true });
  }

  return {
    knownHostsFile: shown(knownHosts),
    configFile: shown(config),
    keepHostKey(key) {
      const before = read(knownHosts);
      const after = withHostKey(before, key);
      if (after !== before) replace(knownHosts, after);
    },
    keep(entries) {
      replace(config, writeFile(new Map([...readFile(read(config)), ...entries])));
      include();
    },
    remove(aliases) {
      const entries = readFile(read(config));
      const all = aliases.length === 0;
      const written = [config, knownHosts].filter((path) => existsSync(path));
      const found = all ? written.length > 0 : aliases.filter((alias) => entries.delete(alias)).length > 0;
      if (all) {
        exclude();
        for (const path of written) rmSync(path);
        if (existsSync(folder) && readdirSync(folder).length === 0) rmdirSync(folder);
      } else if (found) replace(config, writeFile(entries));
      return found;
    },
  };
}

const read = (path: string) => (existsSync(path) ? readFileSync(path, "utf8") : "");
const modeOf = (path: string) => (existsSync(path) ? statSync(path).mode & 0o777 : 0o600);

/** In one step; a link stays a link, and a file its owner's. */
function replace(path: string, text: string, mode = 0o600): void {
  mkdirSync(dirname(path), { recursive: true, mode: 0o700 });
  const target = existsSync(path) ? realpathSync(path) : path;
  const draft = `${target}.${process.pid}`;
  try {
    writeFileSync(draft, text, { mode, flag: "wx" });
    chmodSync(draft, mode);
    if (existsSync(target)) {
      const { uid, gid } = statSync(target);
      if (uid !== process.getuid?.()) chownSync(draft, uid, gid);
    }
    renameSync(draft, target);
  } catch (error) {
    rmSync(draft, { force: true });
    throw error;
  }
}

function accountsHome(): string | undefined {
  try {
    return userInfo().homedir;
  } catch {
    return undefined; // a uid without an account
  }
}

/** Who serves SSH in a benchmark: a VM by the server's gateway, a gateway alone in front of this machine, and OpenSSH's server. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { readFile, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { createInterface } from "node:readline";
import { accessTo, sshOptions, type TestServer } from "@mags/e2e/harness";
import { makeTempDir } from "@mags/test-kit";
import { startSshd } from "./sshd.ts";

export interface SshParty {
  readonly name: string;
  readonly port: number;
  readonly user: string;
  readonly keyFile: string;
  /** Options by which OpenSSH's programs sign in. */
  readonly options: readonly string[];
  /** Where files may be put. */
  readonly folder: string;
  /** Of the processes that serve connections. */
  pids(): Promise<readonly number[]>;
}

const BARE_GATEWAY = join(import.meta.dirname, "../packages/edge/test/bare-gateway.program.ts");

/** The gateway without server and VM: commands are processes of this machine. */
async function startBareGateway(): Promise<SshParty & AsyncDisposable> {
  const child = spawn(process.execPath, [BARE_GATEWAY], { stdio: ["pipe", "pipe", "inherit"] });
  const ended = once(child, "close");
  const { value, done } = await createInterface({ input: child.stdout })[Symbol.asyncIterator]().next();
  if (done) throw new Error("the gateway's process ended early");
  return {
    name: "the gateway alone, a command of the host",
    ...(JSON.parse(value) as Pick<SshParty, "port" | "keyFile" | "user" | "folder" | "options">),
    pids: async () => [child.pid ?? 0],
    async [Symbol.asyncDispose]() {
      child.stdin.end();
      await ended;
    },
  };
}

async function partyOf(server: TestServer, sandbox: string, folder: string): Promise<SshParty> {
  const access = await accessTo(server, sandbox);
  const keyFile = join(folder, sandbox);
  await writeFile(keyFile, access.ssh_private_key, { mode: 0o600 });
  return {
    name: "the server's gateway and a VM",
    ...{ port: access.ssh_port, user: access.ssh_user, keyFile, folder: "/root" },
    options: await sshOptions(folder, { ...access, keyFile }),
    async pids() {
      const { pid } = JSON.parse(await readFile(join(server.dataDir, "gateway.json"), "utf8")) as { pid: number };
      return [pid];
    },
  };
}

export interface SshParties extends AsyncDisposable {
  readonly sshd: SshParty;
  readonly bare: SshParty;
  readonly vm: SshParty;
  readonly all: readonly SshParty[];
}

/** @param sandbox  of the server, running */
export async function openSshParties(
  server: TestServer,
  sandbox: string,
  say: (line: string) => void,
): Promise<SshParties> {
  await using scope = new AsyncDisposableStack();
  const temp = scope.use(await makeTempDir());
  const sshd = scope.use(await startSshd(say));
  const bare = scope.use(await startBareGateway());
  const vm = await partyOf(server, sandbox, temp.path);
  const owned = scope.move();
  return { sshd, bare, vm, all: [sshd, bare, vm], [Symbol.asyncDispose]: () => owned.disposeAsync() };
}

export async function newSandbox(
  server: TestServer,
  name: string,
  { diskGb }: { readonly diskGb?: number } = {},
): Promise<void> {
  const { exitCode, errors } = await server.mags(["new", name, ...(diskGb ? ["--disk", `${diskGb}`] : [])]);
  if (exitCode !== 0) throw new Error(errors);
}

/** The reference of SSH: OpenSSH's own server on the loopback, in front of a tree of Debian on this machine. */
import { spawn } from "node:child_process";
import { once } from "node:events";
import { copyFile, readFile, writeFile } from "node:fs/promises";
import { connect, createServer } from "node:net";
import { join } from "node:path";
import { run, sshOptions } from "@mags/e2e/harness";
import { makeTempDir, waitFor } from "@mags/test-kit";
import { debianProgram } from "./debian-program.ts";
import { descendantsOf } from "./processes.ts";
import type { SshParty } from "./ssh-parties.ts";

const PACKAGES = "base-files,openssh-server,rsync,dash,coreutils";
const PROGRAM = "usr/sbin/sshd";

export async function startSshd(say: (line: string) => void): Promise<SshParty & AsyncDisposable> {
  await using scope = new AsyncDisposableStack();
  const tree = (await debianProgram({ packageName: PACKAGES, program: PROGRAM }, say)).slice(0, -PROGRAM.length);
  const { path: folder } = scope.use(await makeTempDir());
  for (const name of ["host", "key"])
    await run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "", "-f", join(folder, name)]);
  await copyFile(join(folder, "key.pub"), join(folder, "authorized"));
  const port = await freePort();
  await writeFile(
    join(folder, "sshd_config"),
    [
      ...[`Port ${port}`, "ListenAddress 127.0.0.1", "HostKey /mnt/host", "AuthorizedKeysFile /mnt/authorized"],
      ...["PermitRootLogin prohibit-password", "PasswordAuthentication no", "KbdInteractiveAuthentication no"],
      "KexAlgorithms curve25519-sha256", // as the gateway has it
      ...["UsePAM no", "StrictModes no", "PidFile none", "LogLevel ERROR", "MaxSessions 1000"],
      "Subsystem sftp /usr/lib/openssh/sftp-server",
    ].join("\n"),
  );
  const script = join(import.meta.dirname, "sshd.sh");
  const child = spawn(
    ...["setpriv" as const],
    [
      ...["--pdeathsig", "KILL", "unshare", "--mount", "--propagation", "private", "--pid", "--fork", "--kill-child"],
      ...[script, tree, folder],
    ],
    { stdio: ["ignore", "ignore", "inherit"] },
  );
  const ended = once(child, "exit");
  scope.defer(async () => {
    child.kill("SIGKILL");
    await ended;
  });
  await waitFor(() => answers(port), { what: "sshd", deadlineMs: 30_000 });
  const hostKey = (await readFile(join(folder, "host.pub"), "utf8")).trim();
  const keyFile = join(folder, "key");
  const options = await sshOptions(folder, {
    ...{ ssh_host: "127.0.0.1", ssh_port: port, ssh_host_key: hostKey, keyFile },
  });
  const owned = scope.move();
  return {
    name: "reference: OpenSSH's sshd, a command of the host",
    ...{ options, port, keyFile, user: "root", folder: "/mnt" },
    pids: () => descendantsOf(child.pid ?? 0),
    [Symbol.asyncDispose]: () => owned.disposeAsync(),
  };
}

async function freePort(): Promise<number> {
  const server = createServer().listen(0, "127.0.0.1");
  await once(server, "listening");
  const { port } = server.address() as { port: number };
  server.close();
  await once(server, "close");
  return port;
}

function answers(port: number): Promise<boolean> {
  const socket = connect(port, "127.0.0.1");
  return new Promise((resolve) => {
    socket.once("data", () => resolve(true)).once("error", () => resolve(false));
  }).finally(() => socket.destroy()) as Promise<boolean>;
}

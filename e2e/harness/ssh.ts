/** The programs of OpenSSH against a server's gateway, with nothing of this host's user. */
import assert from "node:assert/strict";
import { type ChildProcessWithoutNullStreams, spawn } from "node:child_process";
import { once } from "node:events";
import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { waitFor } from "@mags/test-kit";
import type { TestServer } from "./server.ts";

export interface Access {
  readonly ssh_host: string;
  readonly ssh_port: number;
  readonly ssh_user: string;
  readonly ssh_private_key: string;
  readonly ssh_host_key: string;
  readonly ssh_host_fingerprint: string;
}

/** As `POST /mags-jobs/{id}/access` answers. */
export async function accessTo(server: TestServer, name: string): Promise<Access> {
  const { status, body } = await server.api.call("POST", `/api/v1/mags-jobs/${name}/access`, { port: 22 });
  assert.equal(status, 200, JSON.stringify(body));
  return body as Access;
}

/** Options of `ssh`, `scp` and `sftp` that trust the server's host key alone. */
export async function sshOptions(
  folder: string,
  to: Pick<Access, "ssh_host" | "ssh_port" | "ssh_host_key"> & { readonly keyFile: string },
): Promise<string[]> {
  const known = join(folder, `known-${to.ssh_port}`);
  await writeFile(known, `[${to.ssh_host}]:${to.ssh_port} ${to.ssh_host_key}\n`);
  const options = [
    ...[`Port=${to.ssh_port}`, `IdentityFile=${to.keyFile}`, "IdentitiesOnly=yes", "IdentityAgent=none"],
    ...[`UserKnownHostsFile=${known}`, "StrictHostKeyChecking=yes", "BatchMode=yes", "LogLevel=ERROR"],
  ];
  return ["-F", "none", ...options.flatMap((option) => ["-o", option])];
}

export interface Session {
  readonly child: ChildProcessWithoutNullStreams;
  /** Of stdout and stderr together. */
  text(): string;
  type(text: string): void;
  /** Resolves when that was shown. */
  shows(pattern: RegExp, deadlineMs?: number): Promise<void>;
  /** Its exit code, by a deadline. */
  ended(deadlineMs?: number): Promise<number | null>;
}

/** `ssh` whose input stays open. */
export function openSession(args: readonly string[]): Session {
  const child = spawn("ssh", args);
  let text = "";
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding("latin1").on("data", (piece: string) => {
      text += piece;
    });
  child.stdin.on("error", () => {});
  const closed = once(child, "close") as Promise<[number | null]>;
  return {
    child,
    text: () => text,
    type: (typed) => void child.stdin.write(typed),
    async shows(pattern, deadlineMs = 120_000) {
      const wait = waitFor(() => pattern.test(text), { what: `${pattern}`, deadlineMs });
      await wait.catch((cause: unknown) => assert.fail(`${pattern} was not shown: ${JSON.stringify(text)} (${cause})`));
    },
    async ended(deadlineMs = 120_000) {
      const timer = setTimeout(() => child.kill("SIGKILL"), deadlineMs);
      const [exitCode] = await closed;
      clearTimeout(timer);
      return exitCode;
    },
  };
}

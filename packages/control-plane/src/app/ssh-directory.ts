/** Who may sign in to gateways, and in which guest they work: see `SshDirectory` of the domain. */
import { AppError, type Logger, messageOf } from "@mags/core";
import {
  type AuditAction,
  type GuestId,
  isTerminal,
  type SshDirectory,
  type SshNote,
  type SshUser,
} from "@mags/domain";
import type { AuditLog } from "./audit-log.ts";
import { ownerOf } from "./find-sandbox-job.ts";
import type { GuestEnds } from "./guest-ends.ts";
import type { Job } from "./job.ts";
import type { JobStore } from "./job-store.ts";
import { guestOf } from "./sandbox.ts";
import type { SshAccessStore } from "./ssh-access-store.ts";
import type { SshKeyPair } from "./ssh-key-pair.ts";
import type { SshKeys } from "./ssh-keys.ts";
import { parseLogin, sshUserOf } from "./ssh-login.ts";
import type { SshPorts } from "./ssh-ports.ts";

export interface SshDirectoryDeps {
  readonly store: Pick<JobStore, "find" | "get">;
  readonly access: Pick<SshAccessStore, "byFingerprint" | "byPort" | "accountsWith">;
  readonly sshKeys: SshKeys;
  readonly ends: Pick<GuestEnds, "untilOver">;
  readonly ports: Pick<SshPorts, "watch" | "isJobPort">;
  readonly audit: Pick<AuditLog, "note">;
  readonly hostKey: SshKeyPair;
  readonly log: Logger;
}

const ACTIONS: Readonly<Record<SshNote["what"], AuditAction>> = {
  signed_in: "ssh_signed_in",
  refused: "ssh_refused",
  session: "ssh_session",
  forward: "ssh_forward",
  ended: "ssh_ended",
};

export function createSshDirectory(deps: SshDirectoryDeps): SshDirectory {
  const { store, access, sshKeys, ends, ports, audit, log } = deps;

  /** The one that he means now: another may have taken the place of the one he signed in to. */
  async function jobOf({ accountId, target, jobId }: SshUser): Promise<Job | null> {
    if (jobId === null) {
      const found = await store.find(accountId, target);
      return found && ownerOf(store, found, target);
    }
    const job = await store.get(jobId);
    const owner = job?.sandbox?.state === "gone" ? null : job?.sandbox?.ownerJobId;
    return owner && owner !== jobId ? store.get(owner) : job;
  }

  async function touch({ fingerprint, accountId }: SshUser): Promise<void> {
    const holders = await sshKeys.byFingerprint(fingerprint);
    for (const holder of holders) if (holder.accountId === accountId) sshKeys.used(holder.keyId);
  }

  return {
    hostKey: async () => deps.hostKey.privateKey,

    async find(attempt, { signal }) {
      const login = parseLogin(attempt.login);
      const { fingerprint } = attempt.key;
      // The same questions whoever asks: nobody learns from the time it takes which keys and names there are.
      const [ofKey, ofPort, holders] = await Promise.all([
        access.byFingerprint(fingerprint),
        access.byPort(attempt.port),
        sshKeys.byFingerprint(fingerprint),
      ]);
      const accounts = holders.map(({ accountId }) => accountId);
      const withTarget = await access.accountsWith(accounts, login.target);
      signal.throwIfAborted();
      const isJobPort = ports.isJobPort(attempt.port);
      return sshUserOf({ attempt, login, isJobPort, ofKey, ofPort, holders, withTarget });
    },

    async guest(user, { signal }): Promise<GuestId> {
      const { target } = user;
      const [job, ofKey, holders] = await Promise.all([
        jobOf(user),
        access.byFingerprint(user.fingerprint),
        sshKeys.byFingerprint(user.fingerprint),
      ]);
      signal.throwIfAborted();
      const cure = `"mags ssh ${target}" starts it`;
      if (!job) throw new AppError("job_not_running", `${target} is not running: ${cure}`);
      if (isTerminal(job.status))
        throw new AppError(
          "job_not_running",
          `job ${job.name} is not running: it has ended (${job.status}); ${cure} anew`,
        );
      const isHis = holders.some(({ accountId }) => accountId === user.accountId);
      if (!isHis && ofKey?.jobId !== job.id)
        throw new AppError("forbidden", `the key ${user.keyName} that you signed in with was removed meanwhile`);
      if (job.status === "pending")
        throw new AppError(
          "no_vm",
          `there is no VM associated with this job yet: ${job.name} waits for one, try again`,
        );
      return guestOf(job);
    },

    untilOver: ends.untilOver,

    note({ what, login, clientAddress, user, data }) {
      const who = user && { key: user.keyName, fingerprint: user.fingerprint };
      const target = user?.target ?? login;
      const accountId = user?.accountId ?? null;
      audit.note({ action: ACTIONS[what], accountId, target, clientAddress, data: { ...data, login, ...who } });
      if (what === "signed_in" && user)
        touch(user).catch((error: unknown) => log.info("ssh_key.touch_failed", { error: messageOf(error) }));
    },

    watchPorts: ports.watch,
  };
}

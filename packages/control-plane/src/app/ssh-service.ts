/** SSH into sandboxes, as far as the control plane has to do with it: keys, ports, who may sign in. */
import { AppError, type Clock, type Logger, type Secret } from "@mags/core";
import type { SandboxId, SshDirectory, SshNote, SshPublicKey } from "@mags/domain";
import type { AuditLog } from "./audit-log.ts";
import type { OwnerJob } from "./find-sandbox-job.ts";
import { createGuestEnds, type GuestEndsDeps } from "./guest-ends.ts";
import type { JobStore } from "./job-store.ts";
import type { Sealing } from "./sealing.ts";
import type { PortRange, SshAccessStore, StoredSshAccess } from "./ssh-access-store.ts";
import { createSshDirectory } from "./ssh-directory.ts";
import { loadHostKey } from "./ssh-host-key.ts";
import { newSshKeyPair } from "./ssh-key-pair.ts";
import type { SshKeys } from "./ssh-keys.ts";
import { createSshPorts } from "./ssh-ports.ts";

export interface SshServiceConfig {
  /** Name or address that clients are told to connect to. */
  readonly host: string;
  /** That of all jobs. Asked each time: it is known once the gateway listens. */
  readonly port: () => number;
  /** Of jobs, one each; null: none has one of its own. */
  readonly jobPorts: PortRange | null;
  /** Whether another host key is made in the place of one that cannot be opened. Default: the server does not start. */
  readonly replacesLostHostKey?: boolean;
}

export interface SshServiceDeps extends Pick<GuestEndsDeps, "sandboxes" | "changes"> {
  readonly store: JobStore;
  readonly access: SshAccessStore;
  readonly sshKeys: SshKeys;
  readonly audit: Pick<AuditLog, "note">;
  readonly sealing: Sealing;
  readonly clock: Clock;
  readonly log: Logger;
}

export interface SshGrant {
  readonly port: number;
  /** OpenSSH format. */
  readonly privateKey: Secret;
}

export interface SshService {
  readonly host: string;
  readonly port: () => number;
  readonly hostKey: SshPublicKey;
  readonly directory: SshDirectory;
  /** How often gateways told of each kind of thing. */
  readonly noted: Readonly<Record<SshNote["what"], number>>;
  /**
   * Key and port of a sandbox, the same each time; made when it has none. Gateways listen when this resolves.
   * @throws AppError `job_not_running` when the sandbox has ended.
   */
  grant(owner: OwnerJob, client: { readonly clientAddress: string }): Promise<SshGrant>;
  /** The sandbox has ended, and its key and port are removed. */
  ended(sandboxId: SandboxId): void;
}

/** @throws AppError `unavailable` when the host key cannot be opened. */
export async function createSshService(deps: SshServiceDeps, config: SshServiceConfig): Promise<SshService> {
  const { access, sealing, audit, clock, log } = deps;
  const hostKey = await loadHostKey({
    store: access,
    sealing,
    clock,
    replacesLost: config.replacesLostHostKey ?? false,
  });
  const ports = await createSshPorts({ store: access, clock, log }, { range: config.jobPorts, shared: config.port });
  const ends = createGuestEnds(deps);
  const directory = createSshDirectory({ ...deps, ends, ports, hostKey });
  const noted = { signed_in: 0, refused: 0, session: 0, forward: 0, ended: 0 };
  const rowOf = (sandboxId: SandboxId) => `sandbox_ssh/${sandboxId}`;

  function tryOpen({ sealedKey }: StoredSshAccess, sandboxId: SandboxId): Secret | null {
    const opened = sealing.open(sealedKey, rowOf(sandboxId));
    if ("secret" in opened) return opened.secret;
    log.warn("ssh.key_not_opened", { sandboxId, reason: opened.refused });
    return null;
  }

  async function keyOf({ job, sandboxId }: OwnerJob): Promise<Secret> {
    const before = await access.get(sandboxId);
    const kept = before && tryOpen(before, sandboxId);
    if (kept) return kept;
    // Another takes the place of one that cannot be opened any more.
    const { publicKey, privateKey } = newSshKeyPair(`mags ${job.name}`);
    const stored = await access.put(sandboxId, {
      fingerprint: publicKey.fingerprint,
      sealedKey: sealing.seal(privateKey, rowOf(sandboxId)),
      at: clock.now(),
      replaces: before?.fingerprint ?? null,
    });
    if (!stored) throw new AppError("job_not_running", `job ${job.name} is not running: it has ended meanwhile`);
    const secret = tryOpen(stored, sandboxId);
    if (!secret) throw new AppError("unavailable", `the SSH key of job ${job.name} is being made anew: try again`);
    return secret;
  }

  return {
    host: config.host,
    port: config.port,
    hostKey: hostKey.publicKey,
    directory: {
      ...directory,
      note(note) {
        noted[note.what]++;
        directory.note(note);
      },
    },
    noted,
    async grant(owner, { clientAddress }) {
      const privateKey = await keyOf(owner);
      const port = (await ports.ensure(owner.sandboxId)) ?? config.port();
      const { accountId, name } = owner.job;
      audit.note({ action: "access_granted", accountId, target: name, clientAddress, data: { port } });
      return { port, privateKey };
    },
    ended(sandboxId) {
      ports.drop(sandboxId);
      ends.ended(sandboxId);
    },
  };
}

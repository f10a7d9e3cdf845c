/**
 * What an SSH gateway asks of the control plane. Nothing but bytes, numbers, texts and calls passes between them: a
 * gateway may be on another machine.
 */
import type { Secret } from "@mags/core";
import type { AccountId, JobId } from "./ids.ts";
import type { GuestId } from "./sandbox.ts";

export interface SshPublicKey {
  /** As in the first field of a line of `authorized_keys`: `ssh-ed25519`. */
  readonly type: string;
  /** The key as it is sent, which begins with the type. */
  readonly blob: Buffer;
  /** `SHA256:` and unpadded base64. */
  readonly fingerprint: string;
}

export interface SshSignIn {
  /** The user name that was given. */
  readonly login: string;
  readonly key: SshPublicKey;
  /** Of the gateway: one that was given by `watchPorts`, or that of all jobs. */
  readonly port: number;
  /** Numeric. */
  readonly clientAddress: string;
}

/** Somebody who proved that a key is his. */
export interface SshUser {
  readonly accountId: AccountId;
  /** For the audit log and messages. */
  readonly keyName: string;
  readonly fingerprint: string;
  /** For messages: the name that he gave, without the account. */
  readonly target: string;
  /** The job that the key or the port is of; null: whichever has the name at the time. */
  readonly jobId: JobId | null;
  /** Why nothing can be done for him: he is told in each session. Null: nothing of that kind. */
  readonly refusal: string | null;
}

export interface SshNote {
  readonly what: "signed_in" | "refused" | "session" | "forward" | "ended";
  readonly login: string;
  readonly clientAddress: string;
  /** Null: nobody has signed in. */
  readonly user: SshUser | null;
  /** Texts, numbers and booleans by snake_case name: the kind of session, bytes, the reason of a refusal. */
  readonly data: Readonly<Record<string, string | number | boolean | null>>;
}

export interface SshDirectory {
  /** What gateways show, the same in all of an installation and for good. OpenSSH format, Ed25519. */
  hostKey(): Promise<Secret>;
  /**
   * Who may sign in so, before it is known whether the key is really his. Null: nobody, for whatever reason; that takes
   * as long as for somebody.
   */
  find(attempt: SshSignIn, options: { readonly signal: AbortSignal }): Promise<SshUser | null>;
  /**
   * Where what he asks for is done: asked for each channel, as a job may take another's place, and keys are withdrawn.
   * @throws AppError whose message is for the user.
   */
  guest(user: SshUser, options: { readonly signal: AbortSignal }): Promise<GuestId>;
  /**
   * Resolves when the guest is over for good; one that sleeps is not. Many may wait for one.
   * @throws the signal's reason; else it is not known now, and may be asked again.
   */
  untilOver(guest: GuestId, options: { readonly signal: AbortSignal }): Promise<void>;
  /** For the audit log. Must not throw. */
  note(note: SshNote): void;
  /**
   * Ports that are one job's each. Called with all of them at once and whenever they change, one call after the other.
   * The listener resolves with those that cannot be listened on; others are chosen for their jobs then.
   * @returns  Ends it.
   */
  watchPorts(listener: (ports: ReadonlySet<number>) => Promise<readonly number[]>): () => void;
}

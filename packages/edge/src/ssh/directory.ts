/** What the gateway asks of the control plane. */
import type { AccountId, GuestId } from "@mags/domain";

export interface PublicKey {
  /** As in the first field of a line of `authorized_keys`: `ssh-ed25519`. */
  readonly type: string;
  /** The key as it is sent, which begins with the type. */
  readonly blob: Buffer;
  /** `SHA256:` and unpadded base64. */
  readonly fingerprint: string;
}

export interface SignIn {
  /** The user name that was given. */
  readonly login: string;
  readonly key: PublicKey;
  /** The port of the gateway. */
  readonly port: number;
  readonly clientAddress: string;
}

/** Somebody who proved that the key is his. */
export interface SshUser {
  readonly accountId: AccountId;
  /** For the audit log and messages: the name of the key. */
  readonly keyName: string;
  /** For messages: the name of the job. */
  readonly target: string;
  /**
   * Where what he asks for is done: asked for each channel, as a job may take another's place.
   * @throws AppError whose message is for the user.
   */
  guest(options: { readonly signal: AbortSignal }): Promise<GuestId>;
}

export type SshAudit = "signed_in" | "refused" | "session" | "ended";

export interface SshDirectory {
  /**
   * Who may sign in so, before it is known whether the key is really his. Null: nobody, for whatever reason; that takes
   * as long as for somebody.
   */
  find(attempt: SignIn, options: { readonly signal: AbortSignal }): Promise<SshUser | null>;
  /** Must not throw. */
  note(what: SshAudit, attempt: Partial<SignIn>, data: Readonly<Record<string, unknown>>): void;
}

/**
 * What a gateway of URLs asks of the control plane. Nothing but texts, numbers and calls passes between them: a gateway may
 * be on another machine.
 */
import type { Secret } from "@mags/core";
import type { AccountId } from "./ids.ts";
import type { GuestId } from "./sandbox.ts";

/** Who asks for what, for the access log where he is refused. */
export interface UrlVisitor {
  readonly clientAddress: string;
  readonly method: string;
  /** Without what follows `?`, at most 512 characters. */
  readonly path: string;
}

export interface UrlVisit {
  /** That the client asked for: lower case, without port. */
  readonly host: string;
  /** What the client shows for a URL that is private; null: nothing. */
  readonly pass: string | null;
  readonly visitor?: UrlVisitor | undefined;
}

/** Where requests for a host go for now. */
export interface UrlRoute {
  readonly accountId: AccountId;
  readonly guest: GuestId;
  /** In the guest. */
  readonly port: number;
  /** Only a pass has led here. */
  readonly isPrivate: boolean;
  /** For how many milliseconds the guest has been awake; null: it is asleep, or being started. */
  readonly awakeMs: number | null;
}

/** One request that was let in. Of whom it refuses the directory takes note itself. */
export interface UrlAccess {
  /** Milliseconds since 1970. */
  readonly atMs: number;
  readonly host: string;
  readonly guest: GuestId;
  readonly clientAddress: string;
  readonly method: string;
  /** Without what follows `?`, at most 512 characters. */
  readonly path: string;
  /** Of the answer; 101: a WebSocket; 499: the client left before. */
  readonly status: number;
  /** Until the answer had been sent whole. */
  readonly durationMs: number;
  /** Of the bodies, or of a WebSocket. */
  readonly bytesIn: number;
  readonly bytesOut: number;
}

/** Both PEM. */
export interface UrlCertificate {
  /** What follows the first are those that it leads to. */
  readonly certificate: string;
  readonly key: Secret;
}

export interface UrlDirectory {
  /**
   * @throws AppError whose message is for whoever has asked: `url_not_found`, `unauthenticated` when a private one is asked
   *   for without what opens it, `job_not_running`, `unavailable`.
   */
  route(visit: UrlVisit, options: { readonly signal: AbortSignal }): Promise<UrlRoute>;
  /** That was had for this very host; null: there is none. */
  certificate(host: string, options: { readonly signal: AbortSignal }): Promise<UrlCertificate | null>;
  /**
   * What is to be answered to whoever checks, over HTTP, that a host is this installation's, for it to have a certificate.
   * Null: nobody has asked for that.
   */
  challenge(
    asked: { readonly host: string; readonly token: string },
    options: { readonly signal: AbortSignal },
  ): Promise<string | null>;
  /** For the access log. Must not throw. */
  note(access: UrlAccess): void;
}

/** What the server itself has: gateways are not asked whose a host is, nor believed. */
export interface UrlRegister extends UrlDirectory {
  /**
   * Of each whether the host is that guest's: its own name, when access to a port was ever asked for, or an alias of its
   * workspace. Whether it is private, or has ended, makes no difference.
   * @throws AppError `unavailable`
   */
  areOf(hosts: readonly HostOfGuest[]): Promise<readonly boolean[]>;
}

export type HostOfGuest = Pick<UrlAccess, "host" | "guest">;

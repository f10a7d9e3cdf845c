/** The rest of Mags for a gateway that runs apart from it. */
import { AppError, type Logger, sleep } from "@mags/core";
import type { GuestSockets, SshDirectory, UrlDirectory } from "@mags/domain";
import type { EdgeNode } from "../upstream.ts";
import { createLink } from "./link.ts";
import { NOTES } from "./notes.ts";
import { createOutbox } from "./outbox.ts";
import { createRemoteDirectory } from "./remote-directory.ts";
import { createRemoteNode } from "./remote-node.ts";
import { ACCESSES, createRemoteUrls } from "./remote-urls.ts";
import { createRemoteVisits } from "./remote-visits.ts";
import { type EdgePlace, PINGING, type Pinging } from "./transport.ts";

export type UpstreamOptions = EdgePlace & { readonly pinging?: Pinging };

/**
 * While there is no connection, calls fail with `unavailable`, ports stay as they were, and notes wait. Those that wait
 * when it is disposed of have 2 s.
 */
export interface RemoteUpstream extends AsyncDisposable {
  /** Calls fail with `not_supported` where the server serves no SSH. */
  readonly directory: SshDirectory;
  /** With `unavailable` where it serves no URLs. */
  readonly urls: UrlDirectory;
  readonly node: EdgeNode;
  /** To where URLs lead, and nowhere else. */
  readonly visits: Pick<GuestSockets, "connect">;
  /** Why there is no connection; null: there is one. */
  readonly problem: string | null;
  /** Resolves when there is a connection; may be called again. @throws the signal's reason */
  connected(options: { readonly signal: AbortSignal }): Promise<void>;
}

const LAST_NOTES_MS = 2_000;

export interface UpstreamDeps {
  readonly log: Logger;
  /** Called with `problem` when it has changed. */
  readonly onProblem?: (problem: string | null) => void;
}

/** Connects, and connects again whenever the connection is lost, until it is disposed of. Does not wait. @throws AppError `validation_failed` for a bad secret */
export function connectUpstream(deps: UpstreamDeps, options: UpstreamOptions): RemoteUpstream {
  const { log } = deps;
  const ending = new AbortController();
  const link = createLink({ pinging: PINGING, ...options }, deps);
  const telling = { link, log, signal: ending.signal };
  const notes = createOutbox(telling, NOTES);
  const accesses = createOutbox(telling, ACCESSES);
  return {
    directory: createRemoteDirectory({ link, notes, log, signal: ending.signal }),
    urls: createRemoteUrls(link, accesses),
    node: createRemoteNode(link),
    visits: createRemoteVisits(link),
    get problem() {
      return link.problem;
    },
    connected: (signals) => link.connected(signals),
    async [Symbol.asyncDispose]() {
      const sent = Promise.all([notes.sent(), accesses.sent()]);
      await Promise.race([sent, sleep(LAST_NOTES_MS, { signal: ending.signal }).catch(() => {})]);
      ending.abort(new AppError("unavailable", "the gateway is ending"));
      await link[Symbol.asyncDispose]();
    },
  };
}

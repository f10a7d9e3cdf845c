/** The directory of a server, as an edge has it. */
import { AppError, type Logger, Secret, sleep } from "@mags/core";
import type { SshDirectory, SshNote, SshSignIn, SshUser } from "@mags/domain";
import { z } from "zod";
import { createGuestWatch } from "./guest-watch.ts";
import { decode, parseJson } from "./json.ts";
import type { Link } from "./link.ts";
import { clipped, Found, Guest, Ports, SignIn } from "./messages.ts";
import type { Outbox } from "./outbox.ts";
import { violation } from "./pipe.ts";
import { FRAME } from "./protocol.ts";

export interface RemoteDirectoryDeps {
  readonly link: Link;
  readonly notes: Outbox<SshNote>;
  readonly log: Logger;
  /** Aborted when the edge ends. */
  readonly signal: AbortSignal;
}

const PAUSE_MS = 200;

export function createRemoteDirectory({ link, notes, log, signal: ending }: RemoteDirectoryDeps): SshDirectory {
  /** By what they signed in, and what the server knows them by. */
  const signIns = new WeakMap<SshUser, { readonly attempt: SshSignIn; readonly ticket: string }>();

  return {
    async hostKey() {
      return new Secret(decode(z.string(), await link.ask("host_key", {})));
    },
    async find(attempt, { signal }) {
      if (clipped(attempt.login) !== attempt.login) return null; // no name is that long
      const found = decode(Found.nullable(), await link.ask("find", z.encode(SignIn, attempt), { signal }));
      if (!found) return null;
      signIns.set(found.user, { attempt, ticket: found.ticket });
      return found.user;
    },
    async guest(user, { signal }) {
      const known = signIns.get(user);
      if (!known) throw new AppError("internal", "that user was not found here");
      const { attempt, ticket } = known;
      const asked = { attempt: z.encode(SignIn, attempt), found: z.encode(Found, { user, ticket }) };
      return decode(Guest, await link.ask("guest", asked, { signal }));
    },
    untilOver: createGuestWatch(link, { log, signal: ending }),
    note: (note) => notes.add(note),
    watchPorts(listener) {
      const over = new AbortController();
      const signal = AbortSignal.any([over.signal, ending]);
      const watch = async () => {
        while (!signal.aborted) {
          await link.connected({ signal });
          // Ports that are listened on stay so while the server is away.
          await followPorts(link, listener, signal).catch((error: unknown) => {
            log.info("upstream.ports_unknown", { error: String(error) });
          });
          await sleep(PAUSE_MS, { signal });
        }
      };
      watch().catch(() => {}); // it is over
      return () => over.abort();
    },
  };
}

/** Resolves, or rejects, when the server tells nothing more. */
async function followPorts(
  link: Link,
  listener: Parameters<SshDirectory["watchPorts"]>[0],
  signal: AbortSignal,
): Promise<void> {
  const { pipe } = await link.open("ports", {}, { signal });
  const cut = () => pipe.cut();
  signal.addEventListener("abort", cut);
  try {
    signal.throwIfAborted();
    for (let frame = await pipe.frame(); frame; frame = await pipe.frame()) {
      if (frame.type !== FRAME.ports) throw violation("these are no ports");
      const unusable = await listener(new Set(decode(Ports, parseJson(frame.payload))));
      await pipe.writeJson(FRAME.unusable, unusable);
    }
  } finally {
    signal.removeEventListener("abort", cut);
    pipe.cut();
  }
}
